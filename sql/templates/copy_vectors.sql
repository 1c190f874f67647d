-- Trigger on a store: new vectors go into a filter table too, with the filter columns of their
-- rows. It runs as the one who writes them.
create or replace function pgpipe_target.{name}()
    returns trigger  set search_path = pg_catalog, pg_temp set jit = off  language plpgsql
as $body$
#variable_conflict use_column
begin
    if (pgpipe_internal.copied_embedding({embedding}, tg_relid)).store
       is distinct from tg_relid::regclass then
        return null;  -- it is out of service, or a trigger that its owner made elsewhere
    end if;
    begin
        lock table only {target} in access share mode;  -- from here on nobody alters a type
        lock table only {filter_table} in row exclusive mode;
        if to_regclass('pg_temp.new_rows') is not null then
            raise duplicate_table;  -- a table of the session would be read in place of the rows
        elsif pgpipe_internal.copied_types(
                  pgpipe_internal.copied_embedding({embedding}, tg_relid))
              is distinct from {types} then
            raise datatype_mismatch
                using message = 'it was altered, or the types of the target were';
        end if;
        insert into {filter_table} ({key}, chunk, {copied})
        select {key_of_written}, written.chunk, written.vector::{schema}.halfvec({dims})
               {copied_of_row}
          from new_rows written join {target} row on {same_key}
            on conflict ({key}, chunk) do update set ({copied}) = row ({copied_of_excluded});
    exception when data_exception or syntax_error_or_access_rule_violation
                   or program_limit_exceeded then
        perform pgpipe_internal.suspend_copy({embedding}, sqlerrm);
    end;
    return null;
end
$body$
