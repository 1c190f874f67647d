-- Trigger on a target: filter columns that an UPDATE changed are changed in a filter table.
create or replace function pgpipe_target.{name}()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set jit = off
    set bytea_output = 'hex' set extra_float_digits = 1 set row_security = on  language plpgsql
as $body$
#variable_conflict use_column
declare
    declared pgpipe.embedding := pgpipe_internal.copied_embedding({embedding}, tg_relid);
begin
    if declared.target is distinct from tg_relid::regclass then
        return null;  -- it is out of service, or a trigger that its owner made elsewhere
    end if;
    begin
        lock table only {filter_table} in row exclusive mode;  -- from here on nobody alters it
        if num_nulls(to_regclass('pg_temp.old_rows'), to_regclass('pg_temp.new_rows')) < 2 then
            raise duplicate_table;  -- a table of the session would be read in place of the rows
        elsif not pgpipe_internal.copies_safely(declared)
              or pgpipe_internal.copied_types(declared) is distinct from {types} then
            raise datatype_mismatch
                using message = 'it was altered, or the types of the target were';
        elsif exists (select from new_rows offset 100) then
            {move_jobs};
            {copy_columns};
        else  -- twice: a plan for a few rows is kept, and may be slow for many
            {move_jobs};
            {copy_columns};
        end if;
    exception when data_exception or syntax_error_or_access_rule_violation
                   or program_limit_exceeded then
        perform pgpipe_internal.suspend_filters({embedding}, sqlerrm);
    end;
    return null;
end
$body$
