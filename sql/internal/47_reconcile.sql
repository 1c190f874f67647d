-- requires: vector
-- Reconciling: rows that changed while no trigger saw it (a restore, a replica, a partition written
-- directly, DDL) are enqueued. A sweep goes through all rows in the order of their key, a range at
-- a time, and can be left off at any of them.

create or replace function pgpipe_internal.take_sweep(e pgpipe.embedding, worker text)
    returns pgpipe.reconciliation  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    sweep pgpipe.reconciliation;
begin
    insert into pgpipe.reconciliation (embedding_id, worker) values (e.embedding_id, worker)
        on conflict do nothing;
    if worker is null then
        select * into sweep from pgpipe.reconciliation known
         where known.embedding_id = e.embedding_id for update;
    else
        select * into sweep from pgpipe.reconciliation known
         where known.embedding_id = e.embedding_id for update skip locked;
    end if;
    if sweep.embedding_id is null
       or worker is distinct from sweep.worker and worker is not null
          and sweep.moved_at > now() - interval '1 minute' then
        return null;
    elsif worker is distinct from sweep.worker then  -- that one has stood still for long
        update pgpipe.reconciliation known set worker = take_sweep.worker
         where known.embedding_id = e.embedding_id;
    end if;
    return sweep;
end
$$;
comment on function pgpipe_internal.take_sweep(pgpipe.embedding, text) is
    'The sweep of an embedding that is under way, locked, or a new one. Null if another worker has '
    'it.';

create or replace function pgpipe_internal.begin_sweep(e pgpipe.embedding, worker text)
    returns pgpipe.reconciliation  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    sweep pgpipe.reconciliation := pgpipe_internal.take_sweep(e, worker);
    present text;
begin
    if sweep.embedding_id is not null and sweep.definition is null and worker is null then
        if pgpipe_internal.owns(e.target) then
            perform pgpipe_internal.repair_triggers(e.target);
        end if;
        perform pgpipe_internal.repair_filters(e.embedding_id);
    end if;
    present := pgpipe_internal.embedding_definition(e);
    -- What was compared so far may have been compared with something else.
    if sweep.embedding_id is not null and sweep.definition is distinct from present then
        perform pgpipe_internal.repair_store(e);
        perform pgpipe_internal.render_triggers(e.embedding_id);
        present := pgpipe_internal.embedding_definition(e);
        -- A note that a writer counts on, who has not ended, is locked by him, and left.
        delete from pgpipe.missed note
         where note.ctid = any (array(
                   select known.ctid from pgpipe.missed known
                    where known.embedding_id = e.embedding_id for update skip locked));
        update pgpipe.reconciliation known
           set definition = present, position = null, examined = 0, enqueued = 0,
               skipped = pgpipe_internal.restart_held_jobs(e.embedding_id),
               started_at = now(), moved_at = clock_timestamp(),
               lacking = coalesce((select last.lacking from pgpipe.sweep last
                                    where last.embedding_id = e.embedding_id), 0)
         where known.embedding_id = e.embedding_id returning * into sweep;
    end if;
    return sweep;
end
$$;
comment on function pgpipe_internal.begin_sweep(pgpipe.embedding, text) is
    'The sweep that is under way, locked, or a new one; from the first row again where the '
    'definition changed meanwhile. Null where another worker has it. A new one by a command '
    '(`worker` null) brings back triggers that are missing or disabled, and mends the filter '
    'table.';

create or replace function pgpipe_internal.end_sweep(sweep pgpipe.reconciliation)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Whole only if no row was left to a writer that had it locked: what he does there may be
    -- nothing that a trigger enqueues.
    insert into pgpipe.sweep as last (embedding_id, tried_at)
    values (sweep.embedding_id, clock_timestamp())
        on conflict (embedding_id) do update set tried_at = excluded.tried_at;
    update pgpipe.sweep last
       set definition = sweep.definition, swept_at = sweep.started_at,
           -- A note that is left belongs to a writer that has not ended: a minute's wait.
           tried_at = case when exists (select from pgpipe.missed note
                                         where note.embedding_id = last.embedding_id)
                           then last.tried_at end,
           lacking = greatest(last.lacking - sweep.lacking, 0)
     where last.embedding_id = sweep.embedding_id and sweep.skipped = 0;
    delete from pgpipe.reconciliation known where known.embedding_id = sweep.embedding_id;
    select pgpipe_internal.note_trouble(sweep.embedding_id, 'sweep', null, null);
$$;
comment on function pgpipe_internal.end_sweep(pgpipe.reconciliation) is
    'Notes that all rows were compared, unless some were skipped.';

create or replace function pgpipe_internal.reconcile_rows(
    embedding_id int, max_rows int default 10000, worker text default null,
    out examined bigint, out enqueued bigint, out finished boolean)
    volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    e pgpipe.embedding;
    sweep pgpipe.reconciliation;
    last jsonb;
    skipped bigint;
begin
    select * into strict e from pgpipe.embedding known
     where known.embedding_id = reconcile_rows.embedding_id;
    perform pgpipe_internal.require_all_rows(e);
    sweep := pgpipe_internal.begin_sweep(e, worker);
    if sweep.embedding_id is null then
        select 0, 0, true into examined, enqueued, finished;
        return;
    end if;
    if not pgpipe_internal.is_rendered(e) then
        perform pgpipe_internal.render_queue(e.embedding_id);
    end if;
    execute format('select * from pgpipe_target.reconcile_%s($1, $2)', embedding_id)
        into examined, enqueued, skipped, last using sweep.position, max_rows;
    finished := last is null;
    sweep.skipped := sweep.skipped + skipped;
    if finished then
        perform pgpipe_internal.end_sweep(sweep);
    else
        update pgpipe.reconciliation known
           set position = last, examined = known.examined + reconcile_rows.examined,
               enqueued = known.enqueued + reconcile_rows.enqueued,
               skipped = sweep.skipped, moved_at = clock_timestamp()
         where known.embedding_id = e.embedding_id;
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
    returns table (embedding_id int, changed boolean)
    stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A sweep that stood still for a minute has lost its worker; one that ended with rows skipped
    -- is tried again as soon.
    select e.embedding_id, seen.changed
      from pgpipe.embedding e
      left join pgpipe.sweep last on last.embedding_id = e.embedding_id
      left join pgpipe.reconciliation present on present.embedding_id = e.embedding_id
     cross join lateral (
           select last.definition is distinct from pgpipe_internal.embedding_definition(e)
                  or exists (select from pgpipe.missed note
                              where note.embedding_id = e.embedding_id) as changed offset 0) seen
     where e.paused_at is null
       and case when present.embedding_id is not null
                then present.worker is not distinct from due_sweeps.worker
                     or present.moved_at < now() - interval '1 minute'
                else coalesce(last.tried_at < now() - interval '1 minute', true)
                     and (seen.changed or last.swept_at < now() - due_sweeps.every) end
     order by seen.changed desc, last.swept_at nulls first, e.embedding_id
$$;
comment on function pgpipe_internal.due_sweeps(interval, text) is
    'Embeddings whose rows an embedder must compare with their vectors. Their definition changed, '
    'triggers could not read rows, the last sweep is older than `every`, or one of this worker is '
    'under way.';
