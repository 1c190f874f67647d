-- The triggers of a target: they ask for fresh vectors of the rows that changed.
-- Their functions are rendered (34_render.sql). What the owner of a target declared (a condition, the types of its key) runs there as
-- the one who writes the row, as a CHECK of the owner's would. Functions with their owner's rights get keys as jsonb, and write the queue.

create or replace function pgpipe_internal.forget_jobs()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    delete from pgpipe.job j using old_rows o where j.embedding_id = o.embedding_id;
    delete from pgpipe.missed m using old_rows o where m.embedding_id = o.embedding_id;
    perform pgpipe_internal.drop_rendered();
    return null;
end
$$;
comment on function pgpipe_internal.forget_jobs() is
    'Trigger on pgpipe.embedding: the jobs of a dropped embedding go with it, and the functions that were rendered for it.';
create or replace trigger forget_jobs after delete on pgpipe.embedding referencing old table as old_rows
    for each statement execute function pgpipe_internal.forget_jobs();

create or replace function pgpipe_internal.forget_target()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    delete from pgpipe.job j using pgpipe.embedding e where e.target = tg_relid and j.embedding_id = e.embedding_id;
    return null;
end
$$;
comment on function pgpipe_internal.forget_target() is 'Trigger: a truncated target has no jobs.';

create or replace function pgpipe_internal.is_written(relation regclass, removing boolean default false)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    -- The server counts what a transaction writes, unless its superuser switched that off.
    return pg_stat_get_xact_tuples_inserted(relation) * (not removing)::int + pg_stat_get_xact_tuples_updated(relation)
           + pg_stat_get_xact_tuples_deleted(relation) > 0
        or not current_setting('track_counts')::boolean
        or exists (
               with recursive part as (
                   select h.inhrelid as oid from pg_catalog.pg_inherits h where h.inhparent = relation
                   union all
                   select h.inhrelid from part p join pg_catalog.pg_inherits h on h.inhparent = p.oid
               )
               select from part p join pg_catalog.pg_class c on c.oid = p.oid
                where c.relkind = 'f' or pg_stat_get_xact_tuples_inserted(p.oid) * (not removing)::int
                                         + pg_stat_get_xact_tuples_updated(p.oid) + pg_stat_get_xact_tuples_deleted(p.oid) > 0);
end
$$;
comment on function pgpipe_internal.is_written(regclass, boolean) is
    'Whether this transaction wrote rows of the table, of its partitions or child tables: what nobody brings about who may not. '
    '`removing`: more than new ones.';

create or replace function pgpipe_internal.require_written(relation regclass, removing boolean default false)
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if not pgpipe_internal.is_written(relation, removing) then
        raise exception 'this transaction has written no row of %', relation using errcode = '42501',
            hint = 'The triggers of the table call this function; nobody else has a reason to.';
    end if;
end
$$;
comment on function pgpipe_internal.require_written(regclass, boolean) is
    'Raises 42501 unless this transaction wrote rows of the table: so may whoever writes a table call what its triggers need.';

create or replace function pgpipe_internal.enqueue_keys(embedding_id int, keys jsonb[], are_new boolean)
    returns void  volatile strict  security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    of_target regclass;
    is_written boolean;
begin
    -- is_written, as far as it is cheap: a call of it costs as much as the job.
    select e.target, pg_stat_get_xact_tuples_inserted(e.target) + pg_stat_get_xact_tuples_updated(e.target) > 0
      into of_target, is_written from pgpipe.embedding e where e.embedding_id = enqueue_keys.embedding_id;
    if of_target is null then
        return;  -- dropped meanwhile
    elsif not is_written then
        perform pgpipe_internal.require_written(of_target);
    end if;
    if are_new and cardinality(keys) > 1000 then  -- fewer are not worth a subtransaction
        begin  -- a new row has no job; looking for it in the index first costs as much as the job itself
            insert into pgpipe.job (embedding_id, key) select enqueue_keys.embedding_id, unnest(keys);
            return;
        exception when unique_violation then
            null;
        end;
    end if;
    -- The change starts again from the beginning: another text, other attempts. A lease is left to its holder, who finds that gen
    -- has moved.
    insert into pgpipe.job as j (embedding_id, key) select enqueue_keys.embedding_id, unnest(keys)
        on conflict on constraint job_pkey do update
       set gen = j.gen + 1, attempts = 0, rescues = 0, dead_at = null,
           visible_at = case when j.lease_token is null then excluded.visible_at else j.visible_at end;
end
$$;
comment on function pgpipe_internal.enqueue_keys(int, jsonb[], boolean) is
    'One job for each of the keys, of rows that this transaction wrote. It never touches a lease: the worker that holds one finds that '
    'gen has moved. Open to all, because anybody may write a target; raises 42501 for a transaction that did not.';

create or replace function pgpipe_internal.forget_keys(embedding_id int, keys jsonb[])
    returns void  volatile strict  security definer  set search_path = pg_catalog, pg_temp set enable_seqscan = off  language plpgsql
as $$
declare
    of_target regclass := (select e.target from pgpipe.embedding e where e.embedding_id = forget_keys.embedding_id);
begin
    if of_target is null then
        return;
    end if;
    perform pgpipe_internal.require_written(of_target, true);
    -- By the index, however many there are: a plan that was made for an empty queue is kept.
    delete from pgpipe.job j where j.embedding_id = forget_keys.embedding_id and j.key = any (keys);
end
$$;
comment on function pgpipe_internal.forget_keys(int, jsonb[]) is
    'Deletes the jobs of rows that went. Open to all as enqueue_keys is, and as closed to a transaction that wrote nothing there.';

create or replace function pgpipe_internal.note_missed(embedding_id int, sqlstate text)
    returns void  volatile strict  security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    of_target regclass := (select e.target from pgpipe.embedding e where e.embedding_id = note_missed.embedding_id);
begin
    if of_target is null then
        return;
    end if;
    perform pgpipe_internal.require_written(of_target);
    -- A note that is there serves as well, if no sweep clears it before this transaction ends: hence the lock.
    perform from pgpipe.missed m where m.embedding_id = note_missed.embedding_id limit 1 for key share skip locked;
    if not found then
        insert into pgpipe.missed (embedding_id, sqlstate) values (note_missed.embedding_id, left(note_missed.sqlstate, 5));
    end if;
end
$$;
comment on function pgpipe_internal.note_missed(int, text) is
    'Notes that triggers could not read rows that were written, so that a sweep looks for them. It waits for nobody. Open to all as '
    'enqueue_keys is, and as closed to a transaction that wrote nothing there.';

create or replace function pgpipe_internal.wanted_triggers(target regclass)
    returns table (name name, event text, routine text, embedding_id int)
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format('pgpipe_%s_%s', happening.event, e.embedding_id)::name, happening.event,
           format('pgpipe_target.%s_%s()', happening.event, e.embedding_id), e.embedding_id
      from pgpipe.embedding e cross join unnest('{insert,update,delete}'::text[]) happening (event)
     where e.target = wanted_triggers.target
    union all
    select 'pgpipe_truncate', 'truncate', 'pgpipe_internal.forget_target()', null
     where exists (select from pgpipe.embedding e where e.target = wanted_triggers.target)
$$;
comment on function pgpipe_internal.wanted_triggers(regclass) is 'The statement triggers that the embeddings of a target need.';

drop function if exists pgpipe_internal.watchers(regclass);  -- its columns were others
create or replace function pgpipe_internal.watchers(target regclass)
    returns table (name name, enabled boolean, wanted boolean)
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select watcher.tgname, watcher.tgenabled in ('O', 'A'), wanted.name is not null
      from pg_catalog.pg_trigger watcher
      join pg_catalog.pg_proc routine on routine.oid = watcher.tgfoid
      left join pgpipe_internal.wanted_triggers(watchers.target) wanted
             on wanted.name = watcher.tgname and to_regprocedure(wanted.routine) = watcher.tgfoid
     where watcher.tgrelid = watchers.target and not watcher.tgisinternal
       and (routine.pronamespace = 'pgpipe_target'::regnamespace
            or routine.oid in ('pgpipe_internal.enqueue_changes'::regproc, 'pgpipe_internal.forget_target'::regproc))
$$;
comment on function pgpipe_internal.watchers(regclass) is
    'The statement triggers of a target: whether they fire, and whether its embeddings need them.';

create or replace function pgpipe_internal.watch(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    of_embedding int;
    needless name;
    trigger_ record;
begin
    for needless in select watcher.name from pgpipe_internal.watchers(target) watcher where not watcher.wanted loop
        execute format('drop trigger %I on %s', needless, target);
    end loop;
    for of_embedding in select e.embedding_id from pgpipe.embedding e where e.target = watch.target order by 1 loop
        perform pgpipe_internal.render_triggers(of_embedding), pgpipe_internal.lend_triggers(of_embedding, true);
        for trigger_ in
            select wanted.* from pgpipe_internal.wanted_triggers(watch.target) wanted
             where coalesce(wanted.embedding_id, of_embedding) = of_embedding
               and wanted.name not in (select watcher.name from pgpipe_internal.watchers(watch.target) watcher)
        loop
            execute format('create or replace trigger %I after %s on %s %s for each statement execute function %s',
                           trigger_.name, trigger_.event, target,
                           case trigger_.event when 'insert' then 'referencing new table as new_rows'
                                when 'update' then 'referencing old table as old_rows new table as new_rows'
                                when 'delete' then 'referencing old table as old_rows' else '' end,
                           trigger_.routine);
        end loop;
        perform pgpipe_internal.lend_triggers(of_embedding, false);
    end loop;
end
$$;
comment on function pgpipe_internal.watch(regclass) is
    'Puts the statement triggers on a target that its embeddings need, and takes off those that they do not. Twice is a no-op.';

create or replace function pgpipe_internal.repair_triggers(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    disabled name;
begin
    perform pgpipe_internal.render_triggers(e.embedding_id) from pgpipe.embedding e where e.target = repair_triggers.target;
    if exists (select from pgpipe_internal.watchers(target) watcher where not (watcher.wanted and watcher.enabled))
       or (select count(*) from pgpipe_internal.watchers(target)) < (select count(*) from pgpipe_internal.wanted_triggers(target)) then
        perform pgpipe_internal.watch(target);
        for disabled in select watcher.name from pgpipe_internal.watchers(target) watcher where not watcher.enabled loop
            execute format('alter table %s enable trigger %I', target, disabled);
        end loop;
    end if;
end
$$;
comment on function pgpipe_internal.repair_triggers(regclass) is
    'Renders the trigger functions of a target if it changed, and brings back triggers that are missing or disabled.';

create or replace function pgpipe_internal.unwatch(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    watcher name;
begin
    for watcher in select w.name from pgpipe_internal.watchers(target) w loop
        execute format('drop trigger %I on %s', watcher, target);
    end loop;
end
$$;
comment on function pgpipe_internal.unwatch(regclass) is 'Takes the statement triggers off a target again. Twice is a no-op.';

create or replace function pgpipe_internal.enqueue_all(embedding_id int)
    returns bigint  volatile strict  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    e pgpipe.embedding;
    enqueued bigint;
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = enqueue_all.embedding_id;
    -- In the order of the index: its pages are filled one after the other. Where the queue holds nothing of this embedding, nothing is
    -- looked for in the index, which costs as much as the job itself.
    execute format('insert into pgpipe.job (embedding_id, key) select $1, %s from %s t where %s order by 2',
                   pgpipe_internal.key_json(e.target, e.key_columns, 't'), e.target, pgpipe_internal.condition_on(e.condition, 't'))
            || case when exists (select from pgpipe.job j where j.embedding_id = e.embedding_id)
                    then ' on conflict (embedding_id, key) do nothing' else '' end
      using e.embedding_id;
    get diagnostics enqueued = row_count;
    return enqueued;
end
$$;
comment on function pgpipe_internal.enqueue_all(int) is 'Enqueues every row of an embedding''s target that has no job yet. Returns how many.';

-- The triggers of targets run as whoever writes them.
grant usage on schema pgpipe to public;
