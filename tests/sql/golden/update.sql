-- Trigger: asks for vectors of the rows whose text, key or condition a statement changed.
create or replace function pgpipe_target.update_1()
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
             where e.embedding_id = 1) then
            return null;  -- a former owner's trigger, on a table of his
        elsif num_nulls(to_regclass('pg_temp.old_rows'), to_regclass('pg_temp.new_rows')) < 2 then
            raise duplicate_table;  -- a table of the session would be read in place of the rows
        end if;
        are_many := exists (select from new_rows offset 100);
        if are_many then  -- a row that cannot be judged is met here
            perform count(pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(after.shop, null::integer), 'Item no', pgpipe_internal.of_type(after."Item no", null::text))) from (select "Item no", body, shop, sold, title from new_rows) after where not (exists (select from (select pgpipe_internal.of_type(after.sold, null::boolean) as sold) t where ((NOT sold))) and pg_catalog.pg_column_size(pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(after.shop, null::integer), 'Item no', pgpipe_internal.of_type(after."Item no", null::text))) <= 2680);
            perform count(pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(before.shop, null::integer), 'Item no', pgpipe_internal.of_type(before."Item no", null::text))) from (select "Item no", body, shop, sold, title from old_rows) before where not (exists (select from (select pgpipe_internal.of_type(before.sold, null::boolean) as sold) t where ((NOT sold))) and pg_catalog.pg_column_size(pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(before.shop, null::integer), 'Item no', pgpipe_internal.of_type(before."Item no", null::text))) <= 2680);
            perform pgpipe_internal.require_known_key(tg_relid, '{shop,"Item no"}'::name[], true);
        else
            keys := array(-- Rows whose text, key or condition changed. A changed key is two rows.
                select coalesce(after.key, before.key) as key
                  from (select pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(after.shop, null::integer), 'Item no', pgpipe_internal.of_type(after."Item no", null::text)) as key, (exists (select from (select pgpipe_internal.of_type(after.sold, null::boolean) as sold) t where ((NOT sold))) and pg_catalog.pg_column_size(pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(after.shop, null::integer), 'Item no', pgpipe_internal.of_type(after."Item no", null::text))) <= 2680) as is_wanted,
                               after.title as column_1, after.body as column_2
                          from (select "Item no", body, shop, sold, title from new_rows) after) after
                  full join (select pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(before.shop, null::integer), 'Item no', pgpipe_internal.of_type(before."Item no", null::text)) as key, (exists (select from (select pgpipe_internal.of_type(before.sold, null::boolean) as sold) t where ((NOT sold))) and pg_catalog.pg_column_size(pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(before.shop, null::integer), 'Item no', pgpipe_internal.of_type(before."Item no", null::text))) <= 2680) as is_wanted,
                                    before.title as column_1, before.body as column_2
                               from (select "Item no", body, shop, sold, title from old_rows) before) before on before.key = after.key
                 where case when after.is_wanted and before.is_wanted then row(after.column_1, after.column_2)::pg_catalog.record operator(pg_catalog.*<>) row(before.column_1, before.column_2)::pg_catalog.record
                            else after.is_wanted or before.is_wanted end);
        end if;
    exception when syntax_error_or_access_rule_violation or data_exception then
        perform pgpipe_internal.note_missed(1, sqlstate);
        return null;
    end;
    if are_many then  -- twice: a plan for a few rows is kept, and may be slow for many
        insert into pgpipe.job as job (embedding_id, key)
        select 1, changed.key from (-- Rows whose text, key or condition changed. A changed key is two rows.
                select coalesce(after.key, before.key) as key
                  from (select pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(after.shop, null::integer), 'Item no', pgpipe_internal.of_type(after."Item no", null::text)) as key, (exists (select from (select pgpipe_internal.of_type(after.sold, null::boolean) as sold) t where ((NOT sold))) and pg_catalog.pg_column_size(pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(after.shop, null::integer), 'Item no', pgpipe_internal.of_type(after."Item no", null::text))) <= 2680) as is_wanted,
                               after.title as column_1, after.body as column_2
                          from (select "Item no", body, shop, sold, title from new_rows) after) after
                  full join (select pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(before.shop, null::integer), 'Item no', pgpipe_internal.of_type(before."Item no", null::text)) as key, (exists (select from (select pgpipe_internal.of_type(before.sold, null::boolean) as sold) t where ((NOT sold))) and pg_catalog.pg_column_size(pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(before.shop, null::integer), 'Item no', pgpipe_internal.of_type(before."Item no", null::text))) <= 2680) as is_wanted,
                                    before.title as column_1, before.body as column_2
                               from (select "Item no", body, shop, sold, title from old_rows) before) before on before.key = after.key
                 where case when after.is_wanted and before.is_wanted then row(after.column_1, after.column_2)::pg_catalog.record operator(pg_catalog.*<>) row(before.column_1, before.column_2)::pg_catalog.record
                            else after.is_wanted or before.is_wanted end) changed
        -- A job that is there starts again, and its holder keeps the lease.
        on conflict on constraint job_pkey do update
           set gen = job.gen + 1, attempts = 0, rescues = 0, dead_at = null,
               visible_at = case when job.lease_token is null then excluded.visible_at
                                 else job.visible_at end;
    elsif cardinality(keys) > 0 then  -- distinct, because a table may have lost its primary key
        insert into pgpipe.job as job (embedding_id, key) select distinct 1, unnest(keys)
        -- A job that is there starts again, and its holder keeps the lease.
        on conflict on constraint job_pkey do update
           set gen = job.gen + 1, attempts = 0, rescues = 0, dead_at = null,
               visible_at = case when job.lease_token is null then excluded.visible_at
                                 else job.visible_at end;
    end if;
    return null;
end
$body$
