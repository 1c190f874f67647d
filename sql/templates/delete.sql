-- Trigger: asks for the vectors of deleted rows to go.
create or replace function pgpipe_target.{name}()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set jit = off
    set bytea_output = 'hex' set extra_float_digits = 1 set row_security = on  language plpgsql
as $body$
#variable_conflict use_column
declare
    are_several boolean;
begin
    begin  -- it only reads: a write would take the id of a subtransaction
        if (select e.target <> tg_relid from pgpipe.embedding e
             where e.embedding_id = {embedding}) then
            return null;  -- a former owner's trigger, on a table of his
        elsif to_regclass('pg_temp.old_rows') is not null then
            raise duplicate_table;  -- a table of the session would be read in place of the rows
        end if;
        select exists (select from old_rows offset 1) into are_several
          from (select count({key_of_removed}) from {old_rows} removed
                 where not {removed_is_wanted} offset 0) judged;
        if are_several then
            perform pgpipe_internal.require_known_key(tg_relid, {key_columns}, true);
        end if;
    exception when syntax_error_or_access_rule_violation or data_exception then
        perform pgpipe_internal.note_missed({embedding}, sqlstate);
        return null;
    end;
    insert into pgpipe.job as job (embedding_id, key)
    select {embedding}, {key_of_removed} from {old_rows} removed where {removed_is_wanted}
        {again};
    return null;
end
$body$
