-- Trigger: asks for vectors of the rows whose text, key or condition a statement changed.
create or replace function pgpipe_target.{name}()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set jit = off
    set bytea_output = 'hex' set extra_float_digits = 1 set row_security = on  language plpgsql
as $body$
#variable_conflict use_column
declare
    are_many boolean;
    keys jsonb[];
begin
    begin  -- it only reads: a write would take the id of a subtransaction
        if (select e.target <> tg_relid from pgpipe.embedding e
             where e.embedding_id = {embedding}) then
            return null;  -- a former owner's trigger, on a table of his
        elsif num_nulls(to_regclass('pg_temp.old_rows'), to_regclass('pg_temp.new_rows')) < 2 then
            raise duplicate_table;  -- a table of the session would be read in place of the rows
        end if;
        are_many := exists (select from new_rows offset 100);
        if are_many then  -- a row that cannot be judged is met here
            perform count({key_of_after}) from {new_rows} after where not {after_is_wanted};
            perform count({key_of_before}) from {old_rows} before where not {before_is_wanted};
            perform pgpipe_internal.require_known_key(tg_relid, {key_columns}, true);
        else
            keys := array({changes});
        end if;
    exception when syntax_error_or_access_rule_violation or data_exception then
        perform pgpipe_internal.note_missed({embedding}, sqlstate);
        return null;
    end;
    if are_many then  -- twice: a plan for a few rows is kept, and may be slow for many
        insert into pgpipe.job as job (embedding_id, key)
        select {embedding}, changed.key from ({changes}) changed
        {again};
    elsif cardinality(keys) > 0 then  -- distinct, because a table may have lost its primary key
        insert into pgpipe.job as job (embedding_id, key) select distinct {embedding}, unnest(keys)
        {again};
    end if;
    return null;
end
$body$
