create or replace function pgpipe_target.update_1()
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
    if (select e.target <> tg_relid from pgpipe.embedding e where e.embedding_id = 1) then
        return null;  -- a former owner's trigger, on a table of his
    elsif to_regclass('pg_temp.old_rows') is not null
       or to_regclass('pg_temp.new_rows') is not null then
        unread := '42P07';  -- without transition tables, a table of the session would be read
    else
        begin  -- reads only: a write would take the id of a subtransaction
            -- A changed key is a row that went and a row that came.
            select size.are_many, array(
                select coalesce(after.key, before.key)
                  from (select pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(after.shop, null::integer), 'Item no', pgpipe_internal.of_type(after."Item no", null::text)) as key, exists (select from (select pgpipe_internal.of_type(after.sold, null::boolean) as sold) t where ((NOT sold))) as is_wanted,
                               after.title as column_1, after.body as column_2
                          from (select "Item no", body, shop, sold, title from new_rows) after) after
                  full join (select pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(before.shop, null::integer), 'Item no', pgpipe_internal.of_type(before."Item no", null::text)) as key, exists (select from (select pgpipe_internal.of_type(before.sold, null::boolean) as sold) t where ((NOT sold))) as is_wanted,
                                    before.title as column_1, before.body as column_2
                               from (select "Item no", body, shop, sold, title from old_rows) before) before
                         on before.key = after.key
                 where not size.are_many
                   and case when after.is_wanted and before.is_wanted then row(after.column_1, after.column_2)::pg_catalog.record operator(pg_catalog.*<>) row(before.column_1, before.column_2)::pg_catalog.record
                            else after.is_wanted or before.is_wanted end)
              into are_many, keys
              from (select exists (select from new_rows offset 100) as are_many offset 0) size;
            if are_many then  -- a row that cannot be judged is met here
                perform count(*) from (select "Item no", body, shop, sold, title from new_rows) after
                  where not exists (select from (select pgpipe_internal.of_type(after.sold, null::boolean) as sold) t where ((NOT sold)));
                perform count(*) from (select "Item no", body, shop, sold, title from old_rows) before
                  where not exists (select from (select pgpipe_internal.of_type(before.sold, null::boolean) as sold) t where ((NOT sold)));
                if pgpipe_internal.key_columns(tg_relid) is distinct from '{shop,"Item no"}'::name[] then
                    unread := '42704';  -- without its primary key, two rows could have one key
                end if;
            end if;
        exception when syntax_error_or_access_rule_violation or data_exception then
            unread := sqlstate;
        end;
    end if;
    if unread is not null then
        perform pgpipe_internal.note_missed(1, unread);
    elsif are_many then  -- the same again: a plan for a few rows is kept, and may be slow for many
        insert into pgpipe.job as job (embedding_id, key)
        select 1, coalesce(after.key, before.key)
          from (select pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(after.shop, null::integer), 'Item no', pgpipe_internal.of_type(after."Item no", null::text)) as key, exists (select from (select pgpipe_internal.of_type(after.sold, null::boolean) as sold) t where ((NOT sold))) as is_wanted,
                       after.title as column_1, after.body as column_2
                  from (select "Item no", body, shop, sold, title from new_rows) after) after
          full join (select pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(before.shop, null::integer), 'Item no', pgpipe_internal.of_type(before."Item no", null::text)) as key, exists (select from (select pgpipe_internal.of_type(before.sold, null::boolean) as sold) t where ((NOT sold))) as is_wanted,
                            before.title as column_1, before.body as column_2
                       from (select "Item no", body, shop, sold, title from old_rows) before) before
                 on before.key = after.key
         where case when after.is_wanted and before.is_wanted then row(after.column_1, after.column_2)::pg_catalog.record operator(pg_catalog.*<>) row(before.column_1, before.column_2)::pg_catalog.record
                    else after.is_wanted or before.is_wanted end
            on conflict on constraint job_pkey do update
           set gen = job.gen + 1, attempts = 0, rescues = 0, dead_at = null,
               visible_at = case when job.lease_token is null then excluded.visible_at
                                 else job.visible_at end;
    elsif cardinality(keys) > 0 then
        if cardinality(keys) > 1 then  -- without a primary key, two rows could have one key
            keys := array(select distinct known.key from unnest(keys) known (key));
        end if;
        insert into pgpipe.job as job (embedding_id, key) select 1, unnest(keys)
            on conflict on constraint job_pkey do update
           set gen = job.gen + 1, attempts = 0, rescues = 0, dead_at = null,
               visible_at = case when job.lease_token is null then excluded.visible_at
                                 else job.visible_at end;
    end if;
    return null;
end
$body$
