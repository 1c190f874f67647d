-- Trigger on a store: new vectors go into a filter table too, with the filter columns of their
-- rows. It runs as the one who writes them.
create or replace function pgpipe_target.copy_vectors_1()
    returns trigger  set search_path = pg_catalog, pg_temp set jit = off  language plpgsql
as $body$
#variable_conflict use_column
begin
    if (pgpipe_internal.copied_embedding(1, tg_relid)).store
       is distinct from tg_relid::regclass then
        return null;  -- it is out of service, or a trigger that its owner made elsewhere
    end if;
    begin
        lock table only public.item in access share mode;  -- from here on nobody alters a type
        lock table only public.item_embedding_filter in row exclusive mode;
        if to_regclass('pg_temp.new_rows') is not null then
            raise duplicate_table;  -- a table of the session would be read in place of the rows
        elsif pgpipe_internal.copied_types(
                  pgpipe_internal.copied_embedding(1, tg_relid))
              is distinct from '"Item no" text, shop integer, sold boolean, title text' then
            raise datatype_mismatch
                using message = 'it was altered, or the types of the target were';
        end if;
        insert into public.item_embedding_filter (shop, "Item no", chunk, vector, sold, title)
        select written.shop, written."Item no", written.chunk, written.vector::public.halfvec(3)
               , row.sold, row.title
          from new_rows written join public.item row on row.shop operator(pg_catalog.=) written.shop and row."Item no" operator(pg_catalog.=) written."Item no"
            on conflict (shop, "Item no", chunk) do update set (vector, sold, title) = row (excluded.vector, excluded.sold, excluded.title);
    exception when data_exception or syntax_error_or_access_rule_violation
                   or program_limit_exceeded then
        perform pgpipe_internal.suspend_copy(1, sqlerrm);
    end;
    return null;
end
$body$
