-- The triggers of a target: they ask for fresh vectors of the rows that changed.
-- What the owner of a target declared (a condition, the types of its key) runs as the one who writes the row, as a CHECK of the
-- owner's would. Functions with their owner's rights get keys as jsonb, and write the queue.

create or replace function pgpipe.forget_jobs()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    delete from pgpipe.job j using old_rows o where j.embedding_id = o.embedding_id;
    return null;
end
$$;
comment on function pgpipe.forget_jobs() is 'Trigger on pgpipe.embedding: the jobs of a dropped embedding go with it.';
create or replace trigger forget_jobs after delete on pgpipe.embedding referencing old table as old_rows
    for each statement execute function pgpipe.forget_jobs();

create or replace function pgpipe.forget_target()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    delete from pgpipe.job j using pgpipe.embedding e where e.target = tg_relid and j.embedding_id = e.embedding_id;
    return null;
end
$$;
comment on function pgpipe.forget_target() is 'Trigger: a truncated target has no jobs.';

create or replace function pgpipe.is_written(relation regclass, removing boolean default false)
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
comment on function pgpipe.is_written(regclass, boolean) is
    'Whether this transaction wrote rows of the table, of its partitions or child tables: what nobody brings about who may not. '
    '`removing`: more than new ones.';

create or replace function pgpipe.require_written(relation regclass, removing boolean default false)
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if not pgpipe.is_written(relation, removing) then
        raise exception 'this transaction has written no row of %', relation using errcode = '42501',
            hint = 'The triggers of the table call this function; nobody else has a reason to.';
    end if;
end
$$;
comment on function pgpipe.require_written(regclass, boolean) is
    'Raises 42501 unless this transaction wrote rows of the table: so may whoever writes a table call what its triggers need.';

create or replace function pgpipe.enqueue_keys(embedding_id int, keys jsonb[], are_new boolean)
    returns void  volatile strict  security definer  set search_path = pg_catalog, pg_temp set jit = off  language plpgsql
as $$
declare
    of_target regclass := (select e.target from pgpipe.embedding e where e.embedding_id = enqueue_keys.embedding_id);
begin
    if of_target is null then
        return;  -- dropped meanwhile
    end if;
    perform pgpipe.require_written(of_target);
    if are_new and cardinality(keys) > 1000 then  -- fewer are not worth a subtransaction
        begin  -- a new row has no job; looking for it in the index first costs as much as the job itself
            insert into pgpipe.job (embedding_id, key) select enqueue_keys.embedding_id, k.key from unnest(keys) k (key);
            return;
        exception when unique_violation then
            null;
        end;
    end if;
    -- The change starts again from the beginning: another text, other attempts. A lease is left to its holder, who finds that gen
    -- has moved.
    insert into pgpipe.job as j (embedding_id, key) select enqueue_keys.embedding_id, k.key from unnest(keys) k (key)
        on conflict on constraint job_pkey do update
       set gen = j.gen + 1, attempts = 0, rescues = 0, dead_at = null,
           visible_at = case when j.lease_token is null then excluded.visible_at else j.visible_at end;
end
$$;
comment on function pgpipe.enqueue_keys(int, jsonb[], boolean) is
    'One job for each of the keys, of rows that this transaction wrote. It never touches a lease: the worker that holds one finds that '
    'gen has moved. Open to all, because anybody may write a target; raises 42501 for a transaction that did not.';

create or replace function pgpipe.forget_keys(embedding_id int, keys jsonb[])
    returns void  volatile strict  security definer  set search_path = pg_catalog, pg_temp set jit = off  language plpgsql
as $$
declare
    of_target regclass := (select e.target from pgpipe.embedding e where e.embedding_id = forget_keys.embedding_id);
begin
    if of_target is null then
        return;
    end if;
    perform pgpipe.require_written(of_target, true);
    delete from pgpipe.job j using unnest(keys) k (key) where j.embedding_id = forget_keys.embedding_id and j.key = k.key;
end
$$;
comment on function pgpipe.forget_keys(int, jsonb[]) is
    'Deletes the jobs of rows that went. Open to all as enqueue_keys is, and as closed to a transaction that wrote nothing there.';

create or replace function pgpipe.watched_changes(target regclass, event text)
    returns text[]  stable strict  security definer  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A changed key is a row that went and a row that came.
    select array_agg(part.part order by e.embedding_id, part.n)
      from pgpipe.embedding e
     cross join lateral (
           select pgpipe.key_json(e.target, e.key_columns, 'n') as new_key, pgpipe.key_json(e.target, e.key_columns, 'o') as old_key,
                  pgpipe.same_key(e.target, e.key_columns, 'n', 'o') as same,
                  pgpipe.condition_on(e.condition, 'n') as new_is, pgpipe.condition_on(e.condition, 'o') as old_is) s
     cross join lateral (values
           (1, e.embedding_id::text),
           (2, case event when 'delete' then format('select %s from old_rows o', s.old_key)
                          when 'update' then format('select %s from old_rows o where not exists (select from new_rows n where %s)',
                                                    s.old_key, s.same) else '' end),
           (3, case event when 'insert' then format('select %s from new_rows n where %s', s.new_key, s.new_is)
                          when 'update' then format('select %s from new_rows n left join old_rows o on %s where case '
                                                    'when o.%I is not distinct from null then true '
                                                    'when %s then not %s or %s else %5$s end',
                                                    s.new_key, s.same, e.key_columns[1], s.new_is, s.old_is,
                                                    pgpipe.changed(e.columns, 'n', 'o')) else '' end)
           ) part (n, part)
     where e.target = watched_changes.target
$$;
comment on function pgpipe.watched_changes(regclass, text) is
    'Of each embedding of a target: its id, and SQL text that selects the keys of the rows that an event took away, and of those that '
    'need a fresh vector. These are the arguments of the triggers. It composes text and runs none of it; open to all, for triggers '
    'that an earlier version made without arguments.';

create or replace function pgpipe.enqueue_changes()
    returns trigger  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    set jit = off
    language plpgsql
as $$
declare
    most constant int := 10000;  -- keys that are handed over at once
    -- A trigger of an earlier version has no arguments.
    changes text[] := case when tg_nargs > 0 then tg_argv[:] else pgpipe.watched_changes(tg_relid, lower(tg_op)) end;
    first int := coalesce(array_lower(changes, 1), 0);
    keys jsonb[];
    key jsonb;
begin
    for n in first .. first + coalesce(cardinality(changes), 0) - 1 by 3 loop
        if changes[n + 1] <> '' then
            keys := '{}';
            for key in execute changes[n + 1] loop
                keys := keys || key;
                if cardinality(keys) = most then
                    perform pgpipe.forget_keys(changes[n]::int, keys);
                    keys := '{}';
                end if;
            end loop;
            if keys <> '{}' then
                perform pgpipe.forget_keys(changes[n]::int, keys);
            end if;
        end if;
        if changes[n + 2] <> '' then
            keys := '{}';
            for key in execute changes[n + 2] loop
                keys := keys || key;
                if cardinality(keys) = most then
                    perform pgpipe.enqueue_keys(changes[n]::int, keys, tg_op = 'INSERT');
                    keys := '{}';
                end if;
            end loop;
            if keys <> '{}' then
                perform pgpipe.enqueue_keys(changes[n]::int, keys, tg_op = 'INSERT');
            end if;
        end if;
    end loop;
    return null;
end
$$;
comment on function pgpipe.enqueue_changes() is
    'Trigger: one job per row whose key or input columns changed, or which entered or left the condition; none for rows that went. Its '
    'arguments are those of watched_changes. It runs as the one who writes.';

create or replace function pgpipe.watch(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    event text;
begin
    foreach event in array '{insert,update,delete}'::text[] loop
        execute format('create or replace trigger pgpipe_%1$s after %1$s on %2$s %3$s for each statement '
                       'execute function pgpipe.enqueue_changes(%4$s)', event, target,
                       case event when 'insert' then 'referencing new table as new_rows'
                                  when 'update' then 'referencing old table as old_rows new table as new_rows'
                                  else 'referencing old table as old_rows' end,
                       (select string_agg(quote_literal(u.part), ', ' order by u.n)
                          from unnest(pgpipe.watched_changes(target, event)) with ordinality u (part, n)));
    end loop;
    execute format('create or replace trigger pgpipe_truncate after truncate on %s for each statement '
                   'execute function pgpipe.forget_target()', target);
end
$$;
comment on function pgpipe.watch(regclass) is
    'Puts the statement triggers on a target, one per event, for the embeddings that it has now. Twice is a no-op.';

create or replace function pgpipe.watchers(target regclass)
    returns table (name name, event text, enabled boolean, current boolean)
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select g.tgname, e.event, g.tgenabled in ('O', 'A'),
           g.tgfoid = case e.event when 'truncate' then 'pgpipe.forget_target'::regproc else 'pgpipe.enqueue_changes'::regproc end
           and (e.event = 'truncate'
                or g.tgargs = (select string_agg(convert_to(u.part, getdatabaseencoding()) || '\x00'::bytea, ''::bytea order by u.n)
                                 from unnest(pgpipe.watched_changes(target, e.event)) with ordinality u (part, n)))
      from unnest('{insert,update,delete,truncate}'::text[]) e (event)
      join pg_catalog.pg_trigger g on g.tgrelid = target and g.tgname = 'pgpipe_' || e.event and not g.tgisinternal
$$;
comment on function pgpipe.watchers(regclass) is
    'The statement triggers of a target: whether they fire, and are what watch would make now.';

create or replace function pgpipe.unwatch(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    watcher name;
begin
    for watcher in select w.name from pgpipe.watchers(target) w loop
        execute format('drop trigger %I on %s', watcher, target);
    end loop;
end
$$;
comment on function pgpipe.unwatch(regclass) is 'Takes the statement triggers off a target again. Twice is a no-op.';

create or replace function pgpipe.enqueue_all(embedding_id int)
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
                   pgpipe.key_json(e.target, e.key_columns, 't'), e.target, pgpipe.condition_on(e.condition, 't'))
            || case when exists (select from pgpipe.job j where j.embedding_id = e.embedding_id)
                    then ' on conflict (embedding_id, key) do nothing' else '' end
      using e.embedding_id;
    get diagnostics enqueued = row_count;
    return enqueued;
end
$$;
comment on function pgpipe.enqueue_all(int) is 'Enqueues every row of an embedding''s target that has no job yet. Returns how many.';

-- The triggers of targets run as whoever writes them.
grant usage on schema pgpipe to public;
