-- The triggers of a target: they ask for fresh vectors of the rows that changed.
-- Their functions are rendered (34_render.sql), and run with the rights of the role of the queue.
-- They read keys from the transition tables alone: nobody can enqueue a row that he did not write.
-- They run no code of a user's (08_pinned.sql, 26_plain_condition.sql).

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
    'Trigger on pgpipe.embedding: the jobs of a dropped embedding go with it, and the functions '
    'that were rendered for it.';
create or replace trigger forget_jobs
    after delete on pgpipe.embedding referencing old table as old_rows
    for each statement execute function pgpipe_internal.forget_jobs();

create or replace function pgpipe_internal.require_known_key(
    relation regclass, known name[], with_children boolean)
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if pgpipe_internal.key_columns(relation) is distinct from known
       or with_children and exists (
              select from pg_catalog.pg_class class
               where class.oid = relation and class.relhassubclass and class.relkind = 'r') then
        raise undefined_object;  -- two rows could have one key
    end if;
end
$$;
comment on function pgpipe_internal.require_known_key(regclass, name[], boolean) is
    'Raises 42704 if the rows of a statement may share a key: the primary key of the table is not '
    'what an embedding knows, or rows of its child tables may be among them. For triggers.';

create or replace function pgpipe_internal.note_missed(embedding_id int, reason text)
    returns void
    volatile strict  security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    -- A note that is there serves as well, if no sweep clears it before this transaction ends:
    -- hence the lock.
    perform from pgpipe.missed known where known.embedding_id = note_missed.embedding_id limit 1
        for key share skip locked;
    if not found then
        insert into pgpipe.missed (embedding_id, sqlstate)
        values (note_missed.embedding_id, note_missed.reason);
    end if;
end
$$;
comment on function pgpipe_internal.note_missed(int, text) is
    'Notes that triggers did not read rows that were written, so that a sweep looks for them. It '
    'waits for nobody. `reason` is the SQLSTATE of the error; 00000 for a TRUNCATE, 01P01 for '
    'triggers of an earlier version.';

create or replace function pgpipe_internal.forget_target()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    delete from pgpipe.job using pgpipe.embedding known
     where known.target = tg_relid and job.embedding_id = known.embedding_id;
    perform pgpipe_internal.note_missed(known.embedding_id, '00000')
       from pgpipe.embedding known where known.target = tg_relid;
    return null;
end
$$;
comment on function pgpipe_internal.forget_target() is
    'Trigger: a truncated target has no jobs. Its vectors are found by the next sweep.';

create or replace function pgpipe_internal.is_written(relation regclass)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    -- The server counts what a transaction writes, unless its superuser switched that off.
    return not current_setting('track_counts')::boolean
        or exists (
               select from pgpipe_internal.parts(relation) part
                 join pg_catalog.pg_class class on class.oid = part
                where class.relkind = 'f'
                   or pg_stat_get_xact_tuples_inserted(class.oid)
                      + pg_stat_get_xact_tuples_updated(class.oid)
                      + pg_stat_get_xact_tuples_deleted(class.oid) > 0);
end
$$;
comment on function pgpipe_internal.is_written(regclass) is
    'Whether this transaction wrote rows of the table, of its partitions or child tables. A role '
    'that may not write them cannot bring that about.';

create or replace function pgpipe_internal.require_written(relation regclass)
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if not pgpipe_internal.is_written(relation) then
        raise exception 'this transaction has written no row of %', relation
            using errcode = '42501',
                  hint = 'The triggers of the table call this function; nobody else has a reason.';
    end if;
end
$$;
comment on function pgpipe_internal.require_written(regclass) is
    'Raises 42501 unless this transaction wrote rows of the table. So a role that writes a table '
    'may call what its triggers need.';

create or replace function pgpipe_internal.wanted_triggers(target regclass)
    returns table (name name, event text, routine text, embedding_id int)
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format('pgpipe_%s_%s', happening.event, e.embedding_id)::name, happening.event,
           format('pgpipe_target.%s_%s()', happening.event, e.embedding_id), e.embedding_id
      from pgpipe.embedding e cross join unnest('{insert,update,delete}'::text[]) happening (event)
     where e.target = wanted_triggers.target and not pgpipe_internal.is_distributed(e.target)
    union all
    select format('pgpipe_filters_%s', e.embedding_id), 'update', copy.routine, e.embedding_id
      from pgpipe.embedding e
     cross join format('pgpipe_target.copy_filters_%s()', e.embedding_id) copy (routine)
     where e.target = wanted_triggers.target and e.filters <> '{}'
       and to_regprocedure(copy.routine) is not null
    union all
    select 'pgpipe_truncate', 'truncate', 'pgpipe_internal.forget_target()', null
     where exists (select from pgpipe.embedding e where e.target = wanted_triggers.target)
       and not pgpipe_internal.is_distributed(wanted_triggers.target)
$$;
comment on function pgpipe_internal.wanted_triggers(regclass) is
    'The statement triggers that the embeddings of a target need. A distributed one has none: '
    'loads enqueue what they change.';

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
            or routine.oid in ('pgpipe_internal.enqueue_changes'::regproc,
                               'pgpipe_internal.copy_filters'::regproc,
                               'pgpipe_internal.forget_target'::regproc))
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
    for needless in
        select watcher.name from pgpipe_internal.watchers(target) watcher where not watcher.wanted
    loop
        execute format('drop trigger %I on %s', needless, target);
    end loop;
    for of_embedding in
        select e.embedding_id from pgpipe.embedding e where e.target = watch.target order by 1
    loop
        perform pgpipe_internal.render_triggers(of_embedding);
        perform pgpipe_internal.lend_triggers(of_embedding, true);
        for trigger_ in
            select wanted.* from pgpipe_internal.wanted_triggers(watch.target) wanted
             where coalesce(wanted.embedding_id, of_embedding) = of_embedding
               and wanted.name not in (
                   select watcher.name from pgpipe_internal.watchers(watch.target) watcher)
        loop
            execute format('create or replace trigger %I after %s on %s %s for each statement '
                           'execute function %s', trigger_.name, trigger_.event, target,
                           case trigger_.event
                           when 'insert' then 'referencing new table as new_rows'
                           when 'update' then 'referencing old table as old_rows '
                                              'new table as new_rows'
                           when 'delete' then 'referencing old table as old_rows' else '' end,
                           trigger_.routine);
        end loop;
        perform pgpipe_internal.lend_triggers(of_embedding, false);
    end loop;
end
$$;
comment on function pgpipe_internal.watch(regclass) is
    'Puts the statement triggers on a target that its embeddings need, and takes off those that '
    'they do not. Twice is a no-op.';

create or replace function pgpipe_internal.repair_triggers(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    disabled name;
begin
    perform pgpipe_internal.render_triggers(e.embedding_id), pgpipe_internal.repair_store(e)
       from pgpipe.embedding e where e.target = repair_triggers.target;
    if exists (select from pgpipe_internal.watchers(target) watcher
                where not (watcher.wanted and watcher.enabled))
       or (select count(*) from pgpipe_internal.watchers(target))
          < (select count(*) from pgpipe_internal.wanted_triggers(target)) then
        perform pgpipe_internal.watch(target);
        for disabled in
            select watcher.name from pgpipe_internal.watchers(target) watcher
             where not watcher.enabled
        loop
            execute format('alter table %s enable trigger %I', target, disabled);
        end loop;
    end if;
    perform pgpipe_internal.keep_filters(e) from pgpipe.embedding e
      where e.target = repair_triggers.target and e.filters <> '{}' and e.filter_error is null
        and exists (select from pg_catalog.pg_trigger earlier
                     where earlier.tgrelid = e.store
                       and earlier.tgfoid = 'pgpipe_internal.copy_vectors'::regproc);
end
$$;
comment on function pgpipe_internal.repair_triggers(regclass) is
    'Renders the trigger functions of a target and repairs its stores if it changed. Brings back '
    'triggers that are missing or disabled.';

create or replace function pgpipe_internal.unwatch(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    watcher name;
begin
    for watcher in select known.name from pgpipe_internal.watchers(target) known loop
        execute format('drop trigger %I on %s', watcher, target);
    end loop;
end
$$;
comment on function pgpipe_internal.unwatch(regclass) is
    'Takes the statement triggers off a target again. Twice is a no-op.';

create or replace function pgpipe_internal.enqueue_all(embedding_id int)
    returns bigint  volatile strict  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    e pgpipe.embedding;
    enqueued bigint;
begin
    select * into strict e from pgpipe.embedding known
     where known.embedding_id = enqueue_all.embedding_id;
    -- In the order of the index: its pages are filled one after the other. If the queue holds
    -- nothing of this embedding, nothing is looked for in the index, which costs as
    -- much as the job itself.
    execute format('insert into pgpipe.job (embedding_id, key) '
                   'select $1, %s from %s t where (%s) and %s order by 2',
                   pgpipe_internal.key_json(e.target, e.key_columns, 't'), e.target,
                   pgpipe_internal.condition_on(
                       pgpipe_internal.present_condition(e), 't'),
                   pgpipe_internal.key_fits(e.target, e.key_columns, 't'))
            || case when exists (select from pgpipe.job where job.embedding_id = e.embedding_id)
                      or exists (select from pg_catalog.pg_class class  -- a child may have its keys
                                  where class.oid = e.target and class.relhassubclass
                                    and class.relkind = 'r')
                    then ' on conflict (embedding_id, key) do nothing' else '' end
      using e.embedding_id;
    get diagnostics enqueued = row_count;
    return enqueued;
end
$$;
comment on function pgpipe_internal.enqueue_all(int) is
    'Enqueues every row of an embedding''s target that has no job yet, unless its key is too long. '
    'Returns how many.';

grant usage on schema pgpipe to public;
