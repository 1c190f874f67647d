-- Trigger: asks for vectors of the rows that a statement inserted.
create or replace function pgpipe_target.{name}()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set jit = off
    set bytea_output = 'hex' set extra_float_digits = 1 set row_security = on  language plpgsql
as $body$
#variable_conflict use_column
declare
    are_several boolean;
begin
    begin  -- for fewer rows it only reads: a write takes the id of a subtransaction
        if (select e.target <> tg_relid from pgpipe.embedding e
             where e.embedding_id = {embedding}) then
            return null;  -- a former owner's trigger, on a table of his
        elsif to_regclass('pg_temp.new_rows') is not null then
            raise duplicate_table;  -- a table of the session would be read in place of the rows
        end if;
        select exists (select from new_rows offset 1) into are_several
          from (select count({key_of_added}) from {new_rows} added
                 where not {added_is_wanted} offset 0) judged;
        if are_several then
            perform pgpipe_internal.require_known_key(tg_relid, {key_columns}, false);
        end if;
        if exists (select from new_rows offset 10000) then
            -- New rows have no jobs. To look for them first costs as much as to write them.
            insert into pgpipe.job (embedding_id, key)
            select {embedding}, {key_of_added} from {new_rows} added where {added_is_wanted};
            return null;
        end if;
    exception
        when unique_violation then null;  -- a row that has a job
        when syntax_error_or_access_rule_violation or data_exception then
            perform pgpipe_internal.note_missed({embedding}, sqlstate);
            return null;
    end;
    insert into pgpipe.job as job (embedding_id, key)
    select {embedding}, {key_of_added} from {new_rows} added where {added_is_wanted}
        {again};
    return null;
end
$body$
