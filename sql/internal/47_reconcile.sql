-- requires: vector
-- Reconciling: rows that changed while no trigger saw it (a restore, a replica, a partition written directly, DDL) are enqueued.
-- A sweep goes through all rows in the order of their key, a range at a time, and can be left off at any of them.

create or replace function pgpipe_internal.hold_rows(embedding_id int, parts oid[], places tid[])
    returns table (part oid, place tid)
    volatile  security definer  set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off
    language plpgsql
as $$
declare
    e pgpipe.embedding;
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = hold_rows.embedding_id;
    perform pgpipe_internal.require_lockable(e);
    return query execute format($sql$
        select w.part, w.place from unnest($1, $2) w (part, place)
          join %s t on t.ctid = w.place and t.tableoid = w.part
           for share of t skip locked
        $sql$, e.target) using parts, places;
end
$$;
comment on function pgpipe_internal.hold_rows(int, oid[], tid[]) is
    'Locks rows of an embedding''s target against change until the end of the transaction: those that nobody else has locked. '
    'With its owner''s rights, because a worker may not write a target, and a lock asks for that right. By their place, so '
    'that no operator of a key''s type runs.';

create or replace function pgpipe_internal.begin_sweep(e pgpipe.embedding, worker text)
    returns pgpipe.reconciliation  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    sweep pgpipe.reconciliation;
    present text;
begin
    insert into pgpipe.reconciliation (embedding_id, worker) values (e.embedding_id, worker) on conflict do nothing;
    if worker is null then
        select * into sweep from pgpipe.reconciliation r where r.embedding_id = e.embedding_id for update;
    else
        select * into sweep from pgpipe.reconciliation r where r.embedding_id = e.embedding_id for update skip locked;
    end if;
    if sweep.embedding_id is null
       or (worker is distinct from sweep.worker and worker is not null and sweep.moved_at > now() - interval '1 minute') then
        return null;
    end if;
    if sweep.definition is null and worker is null then
        if (select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class where class.oid = e.target) then
            perform pgpipe_internal.repair_triggers(e.target);
        end if;
        perform pgpipe_internal.repair_filters(e.embedding_id);
    end if;
    present := pgpipe_internal.embedding_definition(e);
    if worker is distinct from sweep.worker then  -- that one has stood still for long
        update pgpipe.reconciliation r set worker = begin_sweep.worker where r.embedding_id = e.embedding_id;
    end if;
    if sweep.definition is distinct from present then  -- what was compared so far was compared with something else
        perform pgpipe_internal.render_triggers(e.embedding_id);
        -- A note that a writer counts on, who has not ended, is locked by him, and left.
        delete from pgpipe.missed m
         where m.ctid = any (array(select known.ctid from pgpipe.missed known
                                    where known.embedding_id = e.embedding_id for update skip locked));
        update pgpipe.reconciliation r
           set definition = present, position = null, examined = 0, enqueued = 0, skipped = 0,
               started_at = now(), moved_at = clock_timestamp(),
               lacking = coalesce((select s.lacking from pgpipe.sweep s where s.embedding_id = e.embedding_id), 0)
         where r.embedding_id = e.embedding_id returning * into sweep;
    end if;
    return sweep;
end
$$;
comment on function pgpipe_internal.begin_sweep(pgpipe.embedding, text) is
    'The sweep that is under way, locked, or a new one; from the first row again where the definition changed meanwhile. Null '
    'where another worker has it. A new one by a command (`worker` null) brings back triggers that are missing or disabled, '
    'and mends the filter table.';

create or replace function pgpipe_internal.end_sweep(sweep pgpipe.reconciliation)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Whole only if no row was left to a writer that had it locked: what he does there may be nothing that a trigger enqueues.
    insert into pgpipe.sweep as s (embedding_id, tried_at) values (sweep.embedding_id, clock_timestamp())
        on conflict (embedding_id) do update set tried_at = excluded.tried_at;
    update pgpipe.sweep s
       set definition = sweep.definition, swept_at = sweep.started_at,
           -- A note that is left belongs to a writer that has not ended: again in a minute, not at once.
           tried_at = case when exists (select from pgpipe.missed m where m.embedding_id = s.embedding_id) then s.tried_at end,
           lacking = greatest(s.lacking - sweep.lacking, 0)
     where s.embedding_id = sweep.embedding_id and sweep.skipped = 0;
    delete from pgpipe.reconciliation r where r.embedding_id = sweep.embedding_id;
$$;
comment on function pgpipe_internal.end_sweep(pgpipe.reconciliation) is
    'Notes that all rows were compared, unless some were skipped.';

create or replace function pgpipe_internal.drop_directionless(e pgpipe.embedding, after jsonb, last jsonb)
    returns jsonb[]  volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    keys jsonb[];
begin
    -- Equal texts have equal vectors, so all of them go: a row that is embedded again must find none to copy.
    execute format($sql$
        with bad as materialized (
            select distinct s.content_hash from %1$s s
             where ($1 is null or %2$s) and ($2 is null or %3$s) and (s.vector operator(%4$I.<=>) s.vector) = 'NaN'
        ), held as materialized (
            select s.ctid as place from %1$s s where s.content_hash in (select bad.content_hash from bad) for update skip locked
        ), dropped as (
            delete from %1$s s using held where s.ctid = held.place returning %5$s as key
        )
        select coalesce(array_agg(distinct d.key), '{}') from dropped d
        $sql$, e.store, pgpipe_internal.key_after(e.target, e.key_columns, 's', '$1'),
        pgpipe_internal.key_after(e.target, e.key_columns, 's', '$2', false), pgpipe_internal.vector_schema(),
        pgpipe_internal.key_json(e.target, e.key_columns, 's'))
        into keys using after, last;
    return keys;
end
$$;
comment on function pgpipe_internal.drop_directionless(pgpipe.embedding, jsonb, jsonb) is
    'Deletes the vectors of a range of keys that have no direction (no cosine with them is a '
    'number), and those of equal texts. Returns the keys of the rows that must be embedded again.';

create or replace function pgpipe_internal.reconcile_rows(embedding_id int, max_rows int default 10000, worker text default null,
    out examined bigint, out enqueued bigint, out finished boolean)
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    e pgpipe.embedding;
    sweep pgpipe.reconciliation;
    last jsonb;
    stale jsonb[];
    parts oid[];
    places tid[];
    gone jsonb[];
    skipped bigint;
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = reconcile_rows.embedding_id;
    perform pgpipe_internal.require_all_rows(e);
    sweep := pgpipe_internal.begin_sweep(e, worker);
    if sweep.embedding_id is null then
        select 0, 0, true into examined, enqueued, finished;
        return;
    end if;
    -- In the order of the primary key; what is stored is compared with what the rows hold now.
    execute format($sql$
        with range as materialized (
            select %1$s as key, pgpipe_internal.content_hash(%2$s) as hash, row_number() over (order by %3$s) as n,
                   t.tableoid as part, t.ctid as place, %8$s
              from %4$s t where $1 is null or %5$s order by %3$s limit $2
        ), wrong as (
            select p.key, p.part, p.place, p.n
              from range p left join %6$s s on %7$s and s.chunk = 0
             where case when p.hash is null then s.content_hash is not null
                        else s.content_hash is distinct from p.hash or s.model is distinct from $3 end
               and not exists (select from pgpipe.job j where j.embedding_id = $4 and j.key = p.key)
        )
        select (select count(*) from range), (select p.key from range p order by p.n desc limit 1),
               coalesce(array_agg(w.key order by w.n), '{}'), array_agg(w.part order by w.n), array_agg(w.place order by w.n)
          from wrong w
        $sql$, pgpipe_internal.key_json(e.target, e.key_columns, 't'), pgpipe_internal.input_expression(e.columns, e.template, e.condition),
        pgpipe_internal.column_list(e.key_columns, 't'), e.target, pgpipe_internal.key_after(e.target, e.key_columns, 't', '$1'), e.store,
        pgpipe_internal.same_numbered(e.target, e.key_columns, 'p', 's'), pgpipe_internal.numbered_list(e.key_columns, 't'))
        into examined, last, stale, parts, places using sweep.position, max_rows, e.model, e.embedding_id;
    finished := examined < max_rows;
    -- Vectors whose row is gone, in the same range of keys.
    execute format($sql$
        select coalesce(array_agg(distinct %1$s), '{}') from %2$s s
         where ($1 is null or %3$s) and ($2 is null or %4$s) and not exists (select from %5$s t where %6$s)
        $sql$, pgpipe_internal.key_json(e.target, e.key_columns, 's'), e.store, pgpipe_internal.key_after(e.target, e.key_columns, 's', '$1'),
        pgpipe_internal.key_after(e.target, e.key_columns, 's', '$2', false), e.target, pgpipe_internal.same_key(e.target, e.key_columns, 't', 's'))
        into gone using sweep.position, case when not finished then last end;
    gone := gone || pgpipe_internal.drop_directionless(e, sweep.position, case when not finished then last end);
    -- A row that somebody is changing is left to his trigger; the others cannot be changed until this is committed, so nobody
    -- who holds a job of one of them waits for us while we wait for him.
    with mine as materialized (
        select w.key from unnest(stale, parts, places) w (key, part, place)
          join pgpipe_internal.hold_rows(e.embedding_id, parts, places) h on h.part = w.part and h.place = w.place
    ), made as (
        insert into pgpipe.job (embedding_id, key)
        select e.embedding_id, k.key from (select mine.key from mine union select unnest(gone)) k
            on conflict on constraint job_pkey do nothing
        returning 1
    )
    select (select count(*) from made), cardinality(stale) - (select count(*) from mine) into enqueued, skipped;
    sweep.skipped := sweep.skipped + skipped;
    if finished then
        perform pgpipe_internal.end_sweep(sweep);
    else
        update pgpipe.reconciliation r
           set position = last, examined = r.examined + reconcile_rows.examined, enqueued = r.enqueued + reconcile_rows.enqueued,
               skipped = sweep.skipped, moved_at = clock_timestamp()
         where r.embedding_id = e.embedding_id;
    end if;
end
$$;
comment on function pgpipe_internal.reconcile_rows(int, int, text) is
    'Compares the next max_rows rows, in the order of their key, with their stored vectors. It '
    'enqueues rows whose text or model is another, and rows that lack vectors or should have '
    'none. It also enqueues vectors whose row is gone, or that have no direction. Commit, and '
    'call again until `finished`: the place is kept in pgpipe.reconciliation. `worker` names an '
    'embedder: it leaves a sweep alone that somebody else is at, and touches neither triggers nor '
    'filter tables. Raises PP012 where row level security hides rows.';

create or replace function pgpipe_internal.due_sweeps(every interval, worker text)
    returns table (embedding_id int, changed boolean)  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A sweep that stood still for a minute has lost its worker; one that ended with rows skipped is tried again as soon.
    select e.embedding_id, seen.changed
      from pgpipe.embedding e
      left join pgpipe.sweep s on s.embedding_id = e.embedding_id
      left join pgpipe.reconciliation r on r.embedding_id = e.embedding_id
     cross join lateral (select s.definition is distinct from pgpipe_internal.embedding_definition(e)
                                or exists (select from pgpipe.missed m where m.embedding_id = e.embedding_id) as changed offset 0) seen
     where e.paused_at is null
       and case when r.embedding_id is not null
                then r.worker is not distinct from due_sweeps.worker or r.moved_at < now() - interval '1 minute'
                else coalesce(s.tried_at < now() - interval '1 minute', true)
                     and (seen.changed or s.swept_at < now() - due_sweeps.every) end
     order by seen.changed desc, s.swept_at nulls first, e.embedding_id
$$;
comment on function pgpipe_internal.due_sweeps(interval, text) is
    'Embeddings whose rows an embedder must compare with their vectors. Their definition changed, triggers '
    'could not read rows, the last sweep is older than `every`, or one of this worker is under way.';
