create or replace function pgpipe_target.{name}()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set jit = off
    set bytea_output = 'hex' set extra_float_digits = 1 set row_security = on  language plpgsql
as $body$
#variable_conflict use_column
declare
    are_several boolean;
    unread text;
begin
    if (select e.target <> tg_relid from pgpipe.embedding e where e.embedding_id = {embedding}) then
        return null;  -- a former owner's trigger, on a table of his
    elsif to_regclass('pg_temp.new_rows') is not null then
        unread := '42P07';  -- without transition tables, a table of the session would be read
    else
        if exists (select from new_rows offset 10000)
           and pgpipe_internal.key_columns(tg_relid) is not distinct from {key_columns} then
            begin  -- new rows have no job: to look for it first costs as much as the job itself
                insert into pgpipe.job (embedding_id, key)
                select {embedding}, {key_of_added} from {new_rows} added where {added_is_wanted};
                return null;
            exception when unique_violation or syntax_error_or_access_rule_violation
                    or data_exception then
                null;  -- as with fewer rows, which are not worth a subtransaction
            end;
        end if;
        begin  -- reads only: a write would take the id of a subtransaction
            select exists (select from new_rows offset 1) into are_several
              from (select count({key_of_added}) from {new_rows} added
                     where not {added_is_wanted} offset 0) judged;
            if are_several
               and pgpipe_internal.key_columns(tg_relid) is distinct from {key_columns} then
                unread := '42704';  -- without its primary key, two rows could have one key
            end if;
        exception when syntax_error_or_access_rule_violation or data_exception then
            unread := sqlstate;
        end;
    end if;
    if unread is not null then
        perform pgpipe_internal.note_missed({embedding}, unread);
        return null;
    end if;
    insert into pgpipe.job as job (embedding_id, key)
    select {embedding}, {key_of_added} from {new_rows} added where {added_is_wanted}
        on conflict on constraint job_pkey do update
       set gen = job.gen + 1, attempts = 0, rescues = 0, dead_at = null,
           visible_at = case when job.lease_token is null then excluded.visible_at
                             else job.visible_at end;
    return null;
end
$body$
