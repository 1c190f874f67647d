create or replace function pgpipe_target.{name}()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set jit = off
    set bytea_output = 'hex' set extra_float_digits = 1 set row_security = on  language plpgsql
as $body$
#variable_conflict use_column
declare
    are_many boolean;
    keys jsonb[];
    unread text;
begin
    if (select e.target <> tg_relid from pgpipe.embedding e where e.embedding_id = {embedding}) then
        return null;  -- a former owner's trigger, on a table of his
    elsif to_regclass('pg_temp.old_rows') is not null
       or to_regclass('pg_temp.new_rows') is not null then
        unread := '42P07';  -- without transition tables, a table of the session would be read
    else
        begin  -- reads only: a write would take the id of a subtransaction
            -- A changed key is a row that went and a row that came.
            select size.are_many, array(
                select coalesce(after.key, before.key)
                  from (select {key_of_after} as key, {after_is_wanted} as is_wanted,
                               {columns_of_after}
                          from {new_rows} after) after
                  full join (select {key_of_before} as key, {before_is_wanted} as is_wanted,
                                    {columns_of_before}
                               from {old_rows} before) before
                         on before.key = after.key
                 where not size.are_many
                   and case when after.is_wanted and before.is_wanted then {changed}
                            else after.is_wanted or before.is_wanted end)
              into are_many, keys
              from (select exists (select from new_rows offset 100) as are_many offset 0) size;
            if are_many then  -- a row that cannot be judged is met here
                perform count(*) from {new_rows} after
                  where not {after_is_wanted};
                perform count(*) from {old_rows} before
                  where not {before_is_wanted};
                if pgpipe_internal.key_columns(tg_relid) is distinct from {key_columns} then
                    unread := '42704';  -- without its primary key, two rows could have one key
                end if;
            end if;
        exception when syntax_error_or_access_rule_violation or data_exception then
            unread := sqlstate;
        end;
    end if;
    if unread is not null then
        perform pgpipe_internal.note_missed({embedding}, unread);
    elsif are_many then  -- the same again: a plan for a few rows is kept, and may be slow for many
        insert into pgpipe.job as job (embedding_id, key)
        select {embedding}, coalesce(after.key, before.key)
          from (select {key_of_after} as key, {after_is_wanted} as is_wanted,
                       {columns_of_after}
                  from {new_rows} after) after
          full join (select {key_of_before} as key, {before_is_wanted} as is_wanted,
                            {columns_of_before}
                       from {old_rows} before) before
                 on before.key = after.key
         where case when after.is_wanted and before.is_wanted then {changed}
                    else after.is_wanted or before.is_wanted end
            on conflict on constraint job_pkey do update
           set gen = job.gen + 1, attempts = 0, rescues = 0, dead_at = null,
               visible_at = case when job.lease_token is null then excluded.visible_at
                                 else job.visible_at end;
    elsif cardinality(keys) > 0 then
        if cardinality(keys) > 1 then  -- without a primary key, two rows could have one key
            keys := array(select distinct known.key from unnest(keys) known (key));
        end if;
        insert into pgpipe.job as job (embedding_id, key) select {embedding}, unnest(keys)
            on conflict on constraint job_pkey do update
           set gen = job.gen + 1, attempts = 0, rescues = 0, dead_at = null,
               visible_at = case when job.lease_token is null then excluded.visible_at
                                 else job.visible_at end;
    end if;
    return null;
end
$body$
