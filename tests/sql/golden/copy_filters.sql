-- Trigger on a target: filter columns that an UPDATE changed are changed in a filter table.
create or replace function pgpipe_target.copy_filters_1()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set jit = off
    set bytea_output = 'hex' set extra_float_digits = 1 set row_security = on  language plpgsql
as $body$
#variable_conflict use_column
declare
    declared pgpipe.embedding := pgpipe_internal.copied_embedding(1, tg_relid);
begin
    if declared.target is distinct from tg_relid::regclass then
        return null;  -- it is out of service, or a trigger that its owner made elsewhere
    end if;
    begin
        lock table only public.item_embedding_filter in row exclusive mode;  -- from here on nobody alters it
        if num_nulls(to_regclass('pg_temp.old_rows'), to_regclass('pg_temp.new_rows')) < 2 then
            raise duplicate_table;  -- a table of the session would be read in place of the rows
        elsif not pgpipe_internal.copies_safely(declared)
              or pgpipe_internal.copied_types(declared) is distinct from '"Item no" text, shop integer, sold boolean, title text' then
            raise datatype_mismatch
                using message = 'it was altered, or the types of the target were';
        elsif exists (select from new_rows offset 100) then
            update pgpipe.job job set gen = job.gen + 1 from (select after.* from new_rows after left join old_rows before on after.shop operator(pg_catalog.=) before.shop and after."Item no" operator(pg_catalog.=) before."Item no" where before.shop is not distinct from null or row(after.sold, after.title)::pg_catalog.record operator(pg_catalog.*<>) row(before.sold, before.title)::pg_catalog.record) after where job.embedding_id = 1 and job.key = pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(after.shop, null::integer), 'Item no', pgpipe_internal.of_type(after."Item no", null::text));
            update public.item_embedding_filter copy set (sold, title) = row (after.sold, after.title) from (select after.* from new_rows after left join old_rows before on after.shop operator(pg_catalog.=) before.shop and after."Item no" operator(pg_catalog.=) before."Item no" where before.shop is not distinct from null or row(after.sold, after.title)::pg_catalog.record operator(pg_catalog.*<>) row(before.sold, before.title)::pg_catalog.record) after where copy.shop operator(pg_catalog.=) after.shop and copy."Item no" operator(pg_catalog.=) after."Item no";
        else  -- twice: a plan for a few rows is kept, and may be slow for many
            update pgpipe.job job set gen = job.gen + 1 from (select after.* from new_rows after left join old_rows before on after.shop operator(pg_catalog.=) before.shop and after."Item no" operator(pg_catalog.=) before."Item no" where before.shop is not distinct from null or row(after.sold, after.title)::pg_catalog.record operator(pg_catalog.*<>) row(before.sold, before.title)::pg_catalog.record) after where job.embedding_id = 1 and job.key = pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(after.shop, null::integer), 'Item no', pgpipe_internal.of_type(after."Item no", null::text));
            update public.item_embedding_filter copy set (sold, title) = row (after.sold, after.title) from (select after.* from new_rows after left join old_rows before on after.shop operator(pg_catalog.=) before.shop and after."Item no" operator(pg_catalog.=) before."Item no" where before.shop is not distinct from null or row(after.sold, after.title)::pg_catalog.record operator(pg_catalog.*<>) row(before.sold, before.title)::pg_catalog.record) after where copy.shop operator(pg_catalog.=) after.shop and copy."Item no" operator(pg_catalog.=) after."Item no";
        end if;
    exception when data_exception or syntax_error_or_access_rule_violation
                   or program_limit_exceeded then
        perform pgpipe_internal.suspend_filters(1, sqlerrm);
    end;
    return null;
end
$body$
