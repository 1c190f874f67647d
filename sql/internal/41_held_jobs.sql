-- Jobs that a worker holds: given back with an error or without, or held for longer.

create or replace function pgpipe_internal.back_off(attempts int)
    returns interval  volatile strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Spread by a fifth, so that failures do not come back together.
    select least(interval '5 seconds' * 2 ^ least(back_off.attempts, 10), interval '1 hour')
           * (0.9 + 0.2 * random())
$$;
comment on function pgpipe_internal.back_off(int) is
    'How long a job waits after a failure: five seconds, doubled with each attempt, up to an hour.';

create or replace function pgpipe_internal.held_jobs(embedding_id int, token uuid, keys jsonb[])
    returns table (number bigint, place tid, gen bigint, attempts int)
    volatile  set search_path = pg_catalog, pg_temp
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
    set enable_mergejoin = off set jit = off
    language sql
as $$
    -- Key by key: a join might read all that is leased for each of them.
    select wanted.number, job.place, job.gen, job.attempts
      from unnest(held_jobs.keys) with ordinality wanted (key, number)
     cross join lateral (
           select known.ctid as place, known.gen, known.attempts from pgpipe.job known
            where known.embedding_id = held_jobs.embedding_id and known.key = wanted.key
              and known.lease_token = held_jobs.token
              for update skip locked) job
$$;
comment on function pgpipe_internal.held_jobs(int, uuid, jsonb[]) is
    'Locks those of the jobs that `token` still holds and no writer has locked; says where they '
    'lie.';

create or replace function pgpipe_internal.restart_held_jobs(embedding_id int)
    returns bigint  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    held bigint := (select count(*) from pgpipe.job job
                     where job.embedding_id = restart_held_jobs.embedding_id
                       and job.lease_token is not null);
    restarted bigint;
begin
    update pgpipe.job job set gen = job.gen + 1
     where job.ctid = any (array(
               select known.ctid from pgpipe.job known
                where known.embedding_id = restart_held_jobs.embedding_id
                  and known.lease_token is not null
                  for update skip locked));
    get diagnostics restarted = row_count;
    return greatest(held - restarted, 0);
end
$$;
comment on function pgpipe_internal.restart_held_jobs(int) is
    'Lets what workers read of the jobs that they hold count for nothing, because the definition '
    'of the texts may have changed since. Returns how many were locked: a finish that is under way '
    'may have compared its texts before the change, which need not lock the table (the label of '
    'an enum, a function).';

create or replace function pgpipe_internal.fail_jobs(
    embedding_id int, token uuid, keys jsonb[], gens bigint[], error text, charge boolean,
    retry_after interval default null)
    returns int
    volatile  set search_path = pg_catalog, pg_temp
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
    set enable_mergejoin = off set jit = off
    language plpgsql
as $$
declare
    places tid[];
    same boolean[];  -- whether it is the text that failed
    tried int[];
    failed int;
begin
    select array_agg(held.place), array_agg(held.gen = gens[held.number]),
           array_agg(held.attempts + charge::int)
      into places, same, tried
      from pgpipe_internal.held_jobs(embedding_id, token, keys) held;
    update pgpipe.job job
       set lease_token = null, leased_by = null,
           last_error = case when mine.same then fail_jobs.error else job.last_error end,
           attempts = case when mine.same then mine.attempts else job.attempts end,
           dead_at = case when state.is_dead then now() end,
           visible_at = case
               when state.is_dead then 'infinity' when not mine.same then now()
               else now() + coalesce(retry_after, pgpipe_internal.back_off(mine.attempts)) end
      from unnest(places, same, tried) mine (place, same, attempts)
      join pgpipe.embedding declared on declared.embedding_id = fail_jobs.embedding_id
     cross join lateral (
           select mine.same and charge and mine.attempts >= declared.max_attempts
                  as is_dead) state
     where job.ctid = mine.place;
    get diagnostics failed = row_count;
    return failed;
end
$$;
comment on function
    pgpipe_internal.fail_jobs(int, uuid, jsonb[], bigint[], text, boolean, interval) is
    'Gives the jobs back with the error. `charge` counts an attempt against them; after '
    'max_attempts a job is dead: kept, listed, retried by command. A job whose row changed '
    'meanwhile is given back as it is: that text has not failed. Returns how many were still this '
    'worker''s.';

create or replace function pgpipe_internal.release_jobs(
    embedding_id int, token uuid, keys jsonb[], out released int, out locked int)
    volatile strict  set search_path = pg_catalog, pg_temp
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
    set enable_mergejoin = off set jit = off
    language plpgsql
as $$
declare
    places tid[];
begin
    places := array(
        select held.place from pgpipe_internal.held_jobs(embedding_id, token, keys) held);
    update pgpipe.job job set lease_token = null, leased_by = null, visible_at = now()
     where job.ctid = any (places);
    get diagnostics released = row_count;
    select count(*) into locked
      from unnest(release_jobs.keys) wanted (key)
     cross join lateral (
           select known.lease_token from pgpipe.job known
            where known.embedding_id = release_jobs.embedding_id and known.key = wanted.key
           offset 0) job
     where job.lease_token = release_jobs.token;
end
$$;
comment on function pgpipe_internal.release_jobs(int, uuid, jsonb[]) is
    'Gives back, uncharged and at once, those of the keys that this token still holds. `locked` '
    'counts those that it holds but that a writer has locked: call again a little later.';

create or replace function pgpipe_internal.extend_lease(
    embedding_id int, token uuid, keys jsonb[], lease interval default '5 minutes')
    returns int
    volatile strict  set search_path = pg_catalog, pg_temp
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
    set enable_mergejoin = off set jit = off
    language plpgsql
as $$
declare
    places tid[];
    extended int;
begin
    places := array(
        select held.place from pgpipe_internal.held_jobs(embedding_id, token, keys) held);
    update pgpipe.job job set visible_at = now() + lease where job.ctid = any (places);
    get diagnostics extended = row_count;
    return extended;
end
$$;
comment on function pgpipe_internal.extend_lease(int, uuid, jsonb[], interval) is
    'Holds on for another `lease` from now. Returns how many of the keys are still held.';
