-- Trigger: asks for vectors of the rows that a statement inserted.
create or replace function pgpipe_target.{name}()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set jit = off
    set bytea_output = 'hex' set extra_float_digits = 1 set row_security = on  language plpgsql
as $body$
#variable_conflict use_column
declare
    are_several boolean;  are_many boolean;
begin
    begin  -- for fewer rows it only reads: a write takes the id of a subtransaction
        if (select e.target <> tg_relid from pgpipe.embedding e
             where e.embedding_id = {embedding}) then
            return null;  -- a former owner's trigger, on a table of his
        elsif to_regclass('pg_temp.new_rows') is not null then
            raise duplicate_table;  -- a table of the session would be read in place of the rows
        end if;
        select exists (select from new_rows offset 1), exists (select from new_rows offset 10000)
          into are_several, are_many
          from (select count({key_of_added}) from {new_rows} added
                 where not exists (select from new_rows offset 10000)
                   and not {added_is_wanted} offset 0) judged;
        if are_several then
            perform pgpipe_internal.require_known_key(tg_relid, {key_columns}, false);
        end if;
        if are_many then  -- not judged: what cannot be read fails in here
            begin  -- New rows have no jobs. To look for them first costs as much as to write them.
                {enqueue};
            exception when unique_violation then  -- a row that has a job
                {enqueue} {again};
            end;
            return null;
        end if;
    exception when syntax_error_or_access_rule_violation or data_exception then
        perform pgpipe_internal.note_missed({embedding}, sqlstate);
        return null;
    end;
    {enqueue} {again};
    return null;
end
$body$
