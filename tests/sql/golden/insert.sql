-- Trigger: asks for vectors of the rows that a statement inserted.
create or replace function pgpipe_target.insert_1()
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
             where e.embedding_id = 1) then
            return null;  -- a former owner's trigger, on a table of his
        elsif to_regclass('pg_temp.new_rows') is not null then
            raise duplicate_table;  -- a table of the session would be read in place of the rows
        end if;
        select exists (select from new_rows offset 1), exists (select from new_rows offset 10000)
          into are_several, are_many
          from (select count(pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(added.shop, null::integer), 'Item no', pgpipe_internal.of_type(added."Item no", null::text))) from (select "Item no", shop, sold from new_rows) added
                 where not exists (select from new_rows offset 10000)
                   and not (exists (select from (select pgpipe_internal.of_type(added.sold, null::boolean) as sold) t where ((NOT sold))) and pg_catalog.pg_column_size(pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(added.shop, null::integer), 'Item no', pgpipe_internal.of_type(added."Item no", null::text))) <= 2680) offset 0) judged;
        if are_several then
            perform pgpipe_internal.require_known_key(tg_relid, '{shop,"Item no"}'::name[], false);
        end if;
        if are_many then  -- not judged: what cannot be read fails in here
            begin  -- New rows have no jobs. To look for them first costs as much as to write them.
                -- Jobs of the rows that a statement inserted.
insert into pgpipe.job as job (embedding_id, key)
            select 1, pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(added.shop, null::integer), 'Item no', pgpipe_internal.of_type(added."Item no", null::text)) from (select "Item no", shop, sold from new_rows) added where (exists (select from (select pgpipe_internal.of_type(added.sold, null::boolean) as sold) t where ((NOT sold))) and pg_catalog.pg_column_size(pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(added.shop, null::integer), 'Item no', pgpipe_internal.of_type(added."Item no", null::text))) <= 2680);
            exception when unique_violation then  -- a row that has a job
                -- Jobs of the rows that a statement inserted.
insert into pgpipe.job as job (embedding_id, key)
            select 1, pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(added.shop, null::integer), 'Item no', pgpipe_internal.of_type(added."Item no", null::text)) from (select "Item no", shop, sold from new_rows) added where (exists (select from (select pgpipe_internal.of_type(added.sold, null::boolean) as sold) t where ((NOT sold))) and pg_catalog.pg_column_size(pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(added.shop, null::integer), 'Item no', pgpipe_internal.of_type(added."Item no", null::text))) <= 2680) -- A job that is there starts again, and its holder keeps the lease.
        on conflict on constraint job_pkey do update
           set gen = job.gen + 1, attempts = 0, rescues = 0, dead_at = null,
               visible_at = case when job.lease_token is null then excluded.visible_at
                                 else job.visible_at end;
            end;
            return null;
        end if;
    exception when syntax_error_or_access_rule_violation or data_exception then
        perform pgpipe_internal.note_missed(1, sqlstate);
        return null;
    end;
    -- Jobs of the rows that a statement inserted.
insert into pgpipe.job as job (embedding_id, key)
            select 1, pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(added.shop, null::integer), 'Item no', pgpipe_internal.of_type(added."Item no", null::text)) from (select "Item no", shop, sold from new_rows) added where (exists (select from (select pgpipe_internal.of_type(added.sold, null::boolean) as sold) t where ((NOT sold))) and pg_catalog.pg_column_size(pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(added.shop, null::integer), 'Item no', pgpipe_internal.of_type(added."Item no", null::text))) <= 2680) -- A job that is there starts again, and its holder keeps the lease.
        on conflict on constraint job_pkey do update
           set gen = job.gen + 1, attempts = 0, rescues = 0, dead_at = null,
               visible_at = case when job.lease_token is null then excluded.visible_at
                                 else job.visible_at end;
    return null;
end
$body$
