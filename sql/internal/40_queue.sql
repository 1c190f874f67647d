-- The queue: lease, acknowledge, fail, extend, release, retry. A worker holds a lease, never a
-- transaction, while the model runs. Every lock is taken with `skip locked`: a worker waits for
-- nobody, so nobody can be in a deadlock with it. These functions forbid the plans that suit large
-- sets: a queue is empty at one moment and has millions of rows at the next, and statistics that
-- lag behind must not turn a claim into a scan of the table. What of it is rendered for each table
-- (claim, finish) lies in sql/templates/.

create or replace function pgpipe_internal.lease_from(
    start timestamptz, present timestamptz, embedding_id int, max_jobs int, worker text,
    token uuid, lease interval)
    returns table (batch pgpipe_internal.batch_row[], reached timestamptz)
    volatile  set search_path = pg_catalog, pg_temp
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
    set enable_mergejoin = off set enable_sort = off set jit = off  language plpgsql
as $$
begin
    -- Each death of a holder halves the batch, until the row that may have caused it stands alone.
    return query with ready as materialized (
        select job.ctid as place, job.visible_at, job.attempts,
               job.lease_token is not null as is_rescued,
               job.rescues + (job.lease_token is not null)::int as rescues
          from pgpipe.job job
         where job.embedding_id = lease_from.embedding_id
           and job.visible_at between start and present
         order by job.visible_at limit max_jobs for update skip locked
    ), chosen as materialized (
        select ready.*, charge, charge = 1 and ready.attempts + 1 >= max_attempts as is_dead
          from ready
          join pgpipe.embedding declared on declared.embedding_id = lease_from.embedding_id
         cross join lateral (select (ready.is_rescued and max_jobs >> least(ready.rescues, 30) = 0
                                    )::int as charge) charged
         limit (select greatest(1, max_jobs >> least(max(worst.rescues), 30)) from ready worst)
    ), leased as (
        update pgpipe.job job
           set rescues = chosen.rescues, attempts = job.attempts + chosen.charge,
               lease_token = case when not is_dead then token end,
               leased_by = case when not is_dead then worker end,
               visible_at = case when is_dead then 'infinity' else now() + lease end,
               dead_at = case when is_dead then now() end,
               last_error = case when not is_dead then job.last_error
                   else 'each worker that took this row alone ended without a word' end
          from chosen where job.ctid = chosen.place
        returning row(job.key, job.gen, job.attempts, null, false, false, null, case when is_dead
                      then 'dead' end)::pgpipe_internal.batch_row as item, chosen.visible_at
    ) select array_agg(leased.item), max(leased.visible_at) from leased;
end
$$;
comment on function pgpipe_internal.lease_from(
    timestamptz, timestamptz, int, int, text, uuid, interval) is
    'Leases jobs that became ready from `start` to `present`, as lease_jobs does. `reached` is '
    'when the last of them did.';

drop function if exists pgpipe_internal.lease_jobs(int, int, text, uuid, interval);
create or replace function pgpipe_internal.lease_jobs(
    embedding_id int, max_jobs int, worker text, token uuid, lease interval)
    returns pgpipe_internal.batch_row[]
    volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    present timestamptz := clock_timestamp();
    setting text := format('pgpipe.queue_front_%s', embedding_id);
    -- Jobs before the first time were claimed, as this session found; until the second it starts
    -- there. Else each claim steps over every job that was finished since the oldest snapshot
    -- that anybody holds, whose index entries stay.
    front timestamptz[] := nullif(current_setting(setting, true), '')::timestamptz[];
    start timestamptz := case when front[2] > present then front[1] else '-infinity' end;
    leased record;
begin
    loop
        select * into leased from pgpipe_internal.lease_from(
            start, present, embedding_id, max_jobs, worker, token, lease);
        exit when leased.batch is not null or start = '-infinity';
        start := '-infinity';  -- one that was locked, or committed late, may stand before the front
    end loop;
    if leased.batch is not null then
        front[2] := case when start > '-infinity' then front[2]
                         else present + interval '10 seconds' end;
        perform set_config(setting, array[leased.reached, front[2]]::text, false);
    end if;
    return coalesce(leased.batch, '{}');
end
$$;
comment on function pgpipe_internal.lease_jobs(int, int, text, uuid, interval) is
    'Leases up to max_jobs ready jobs, longest waiting first, to `token`. Jobs whose lease ran '
    'out are rescued: leased again, in a smaller batch each time. A job with the outcome `dead` '
    'is not leased any more. It notes how far it came in a setting of the session. The next '
    'claims start there, for ten seconds or until they find nothing.';

create or replace function pgpipe_internal.living_jobs(
    embedding_id int, token uuid, batch pgpipe_internal.batch_row[], are_strange boolean[])
    returns pgpipe_internal.batch_row[]
    volatile  set search_path = pg_catalog, pg_temp
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
    set enable_mergejoin = off set jit = off
    language plpgsql
as $$
begin
    if true = any (are_strange) then
        update pgpipe.job job
           set lease_token = null, leased_by = null, visible_at = 'infinity', dead_at = now(),
               last_error = 'it is not a key of its table'
          from unnest(batch) with ordinality strange
         where are_strange[strange.ordinality] and job.embedding_id = living_jobs.embedding_id
           and job.key = strange.key and job.lease_token = living_jobs.token;
    end if;
    return array(select batch[place] from generate_subscripts(batch, 1) place
                  where (batch[place]).outcome is null and not are_strange[place] order by place);
end
$$;
comment on function
    pgpipe_internal.living_jobs(int, uuid, pgpipe_internal.batch_row[], boolean[]) is
    'The jobs of a batch that are not dead. Those whose key no row of the table can have are.';

create or replace function pgpipe_internal.put_away(places tid[], finished boolean[])
    returns void
    volatile  set search_path = pg_catalog, pg_temp
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
    set enable_mergejoin = off set jit = off
    language plpgsql
as $$
begin
    delete from pgpipe.job job
     where job.ctid = any (array(
               select held.place from unnest(places, finished) held (place, finished)
                where held.finished));
    if false = any (finished) then  -- changed meanwhile: for the next worker
        update pgpipe.job job set lease_token = null, leased_by = null, visible_at = now()
         where job.ctid = any (array(
                   select held.place from unnest(places, finished) held (place, finished)
                    where not held.finished));
    end if;
end
$$;
comment on function pgpipe_internal.put_away(tid[], boolean[]) is
    'Deletes jobs that are finished, and gives the others back. The caller has locked them.';

create or replace function pgpipe_internal.acknowledge_jobs(
    embedding_id int, token uuid, worker text, batch pgpipe_internal.batch_row[])
    returns pgpipe_internal.batch_row[]
    volatile  set search_path = pg_catalog, pg_temp
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
    set enable_mergejoin = off set jit = off
    language plpgsql
as $$
declare
    places tid[];        -- where the jobs lie that are still this worker's, locked
    finished boolean[];  -- whether nobody enqueued them again, and their rows may be written
begin
    select array_agg(held.place order by job.ordinality),
           array_agg(held.gen = job.gen and job.outcome in ('done', 'gone')
                     order by job.ordinality)
      into places, finished
      from unnest(batch) with ordinality job
      left join lateral (  -- key by key: a join might read all that is leased for each of them
           select known.ctid as place, known.gen from pgpipe.job known
            where known.embedding_id = acknowledge_jobs.embedding_id and known.key = job.key
              and known.lease_token = acknowledge_jobs.token
              for update skip locked) held on true;
    perform pgpipe_internal.put_away(places, finished);
    batch := array(
        select row(job.key, job.gen, job.attempts, job.content_hash, job.fresh, job.twin,
                   job.source, case
                   when finished[job.ordinality] then job.outcome
                   when places[job.ordinality] is not null then 'changed'
                   when exists (select from pgpipe.job known
                                 where known.embedding_id = acknowledge_jobs.embedding_id
                                   and known.key = job.key
                                   and known.lease_token = acknowledge_jobs.token
                                offset 0) then 'locked'
                   else 'stale' end)::pgpipe_internal.batch_row
          from unnest(batch) with ordinality job order by job.ordinality);
    perform pgpipe_internal.count_finished(embedding_id, worker, batch);
    return batch;
end
$$;
comment on function
    pgpipe_internal.acknowledge_jobs(int, uuid, text, pgpipe_internal.batch_row[]) is
    'Deletes the jobs that `token` still holds, if gen is what it saw and the row is unchanged '
    '(done) or gone. Gives the others back (changed). A job that passed to another worker is '
    'stale. One that a writer has locked at the moment is to be released a little later. Vectors '
    'of jobs that are done may be written in this transaction, and no others.';

create or replace function pgpipe_internal.count_finished(
    embedding_id int, worker text, batch pgpipe_internal.batch_row[])
    returns void
    volatile  set search_path = pg_catalog, pg_temp set enable_seqscan = off
    language sql
as $$
    insert into pgpipe.finished (embedding_id, worker, jobs, stale)
    select count_finished.embedding_id, count_finished.worker, counted.jobs, counted.stale
      from (select count(*) filter (where job.outcome in ('done', 'gone')) as jobs,
                   count(*) filter (where job.outcome = 'stale') as stale
              from unnest(count_finished.batch) job) counted
     where counted.jobs > 0 or counted.stale > 0;
    delete from pgpipe.finished known where known.ctid = any (array(
        select old.ctid from pgpipe.finished old
         where old.finished_at < now() - interval '7 days' limit 100 for update skip locked));
$$;
comment on function pgpipe_internal.count_finished(int, text, pgpipe_internal.batch_row[]) is
    'Counts what became of a batch, for the throughput of the last week. Older counts go.';

create or replace function pgpipe_internal.is_passing(state text)
    returns boolean  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A connection, a conflict, a lack, a lock, an end that somebody wished, a disk.
    select left(state, 2) in ('08', '40', '53', '55', '57', '58')
$$;
comment on function pgpipe_internal.is_passing(text) is
    'Whether an error says nothing about the rows at hand, whichever they are: then none is '
    'charged. As PASSING in pgpipe/embed/trouble.py.';

create or replace function pgpipe_internal.note_trouble(
    embedding_id int, step text, worker text, error text)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language sql
as $$
    delete from pgpipe.trouble met
     where met.embedding_id = note_trouble.embedding_id and met.step = note_trouble.step
       and note_trouble.error is null;
    insert into pgpipe.trouble (embedding_id, step, worker, error)
    select note_trouble.embedding_id, note_trouble.step, note_trouble.worker, note_trouble.error
     where note_trouble.error is not null
        on conflict on constraint trouble_pkey do update
       set worker = excluded.worker, error = excluded.error, met_at = excluded.met_at
$$;
comment on function pgpipe_internal.note_trouble(int, text, text, text) is
    'Keeps why a worker could not serve an embedding (`serve`), compare its rows (`sweep`) or '
    'build its index (`index`). Without an error it forgets the last one.';

create or replace function pgpipe_internal.enqueue_missing(embedding_id int, keys jsonb[])
    returns bigint  volatile  set search_path = pg_catalog, pg_temp  language sql
as $$
    with made as (
        insert into pgpipe.job (embedding_id, key)
        select enqueue_missing.embedding_id, wanted.key
          from unnest(enqueue_missing.keys) wanted (key)
         where pg_column_size(wanted.key) <= pgpipe_internal.longest_key()
            on conflict on constraint job_pkey do nothing
        returning 1
    )
    select count(*) from made
$$;
comment on function pgpipe_internal.enqueue_missing(int, jsonb[]) is
    'Enqueues the keys that have no job, unless they are too long. Returns how many.';
