-- The queue: claim, finish, fail, release, retry. A worker holds a lease, never a transaction, while the model runs.
-- Every lock is taken with `skip locked`: a worker waits for nobody, so nobody can be in a deadlock with it.

create or replace function pgpipe.claim_jobs(embedding_id int, max_jobs int, worker text, token uuid,
                                             lease interval default '5 minutes')
    returns table (key jsonb, gen bigint, attempts int, content text, content_hash bytea, fresh boolean)
    volatile  set search_path = ''
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    e pgpipe.embedding;
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = claim_jobs.embedding_id;
    -- A lease that ran out is claimed like any other job: its holder is fenced off by the new token.
    return query execute format($sql$
        with ready as materialized (
            select j.key from pgpipe.job j where j.embedding_id = $1 and j.visible_at <= now()
             order by j.visible_at limit $2 for update skip locked
        ), leased as (
            update pgpipe.job j set lease_token = $3, leased_by = $4, visible_at = now() + $5
              from ready r where j.embedding_id = $1 and j.key = r.key
            returning j.key, j.gen, j.attempts
        )
        select l.key, l.gen, l.attempts, i.content, pgpipe.content_hash(i.content),
               coalesce((select s.content_hash = pgpipe.content_hash(i.content) and s.model = $6 from %3$s s
                          where %4$s and s.chunk = 0), false)
          from leased l left join lateral (select %1$s as content from %2$s t where %5$s) i on true
        $sql$, pgpipe.input_expression(e.columns, e.template), e.target, e.store,
        pgpipe.key_match(e.target, e.key_columns, 's', 'l.key'), pgpipe.key_match(e.target, e.key_columns, 't', 'l.key'))
        using e.embedding_id, max_jobs, token, worker, lease, e.model;
end
$$;
comment on function pgpipe.claim_jobs(int, int, text, uuid, interval) is
    'Leases up to max_jobs ready jobs, longest waiting first, to `token`, and returns what to embed: `content` is null where the row '
    'is gone or empty, `fresh` says that the stored vectors are of this very text and model. Commit before the model runs.';

create or replace function pgpipe.settle_jobs(embedding_id int, token uuid, keys jsonb[], gens bigint[], hashes bytea[],
    out done int[], out gone int[], out stale int)
    volatile  security definer  set search_path = ''
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    e pgpipe.embedding;
    living int[];   -- rows that still hold the text the worker saw; locked against deletion until the end
    held int[];     -- jobs that are still this worker's
    current int[];  -- of those, the ones that nobody enqueued again
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = settle_jobs.embedding_id;
    -- A worker may not write the target, and a lock on a row asks for that right: hence the rights of the function's owner.
    -- Target first, then job: the order in which a writer's statement and its trigger take them.
    execute format($sql$
        with seen as materialized (
            select w.n from unnest($1, $2) with ordinality w (key, hash, n) join %1$s t on %2$s
             where pgpipe.content_hash(%3$s) is not distinct from w.hash
               for key share of t skip locked
        )
        select coalesce((select array_agg(n) from seen), '{}'),
               array(select w.n from unnest($1) with ordinality w (key, n) where not exists (select from %1$s t where %2$s))
        $sql$, e.target, pgpipe.key_match(e.target, e.key_columns, 't', 'w.key'), pgpipe.input_expression(e.columns, e.template))
        into living, gone using keys, hashes;
    with mine as materialized (
        select w.n, j.gen = w.gen as same
          from unnest(keys, gens) with ordinality w (key, gen, n)
          join pgpipe.job j on j.embedding_id = settle_jobs.embedding_id and j.key = w.key
         where j.lease_token = settle_jobs.token
           for update of j skip locked
    )
    select coalesce(array_agg(m.n), '{}'), coalesce(array_agg(m.n) filter (where m.same), '{}') into held, current from mine m;
    done := array(select n from unnest(current) n where n = any (living) or n = any (gone));
    delete from pgpipe.job j using unnest(done) n
     where j.embedding_id = settle_jobs.embedding_id and j.key = keys[n];
    -- Changed meanwhile: back into the queue for whoever comes next.
    update pgpipe.job j set lease_token = null, leased_by = null, visible_at = now()
      from unnest(held) n
     where n <> all (done) and j.embedding_id = settle_jobs.embedding_id and j.key = keys[n];
    stale := cardinality(keys) - cardinality(held);
    if done <> '{}' then
        insert into pgpipe.finished (embedding_id, jobs) values (settle_jobs.embedding_id, cardinality(done));
        delete from pgpipe.finished f where f.ctid = any (array(
            select o.ctid from pgpipe.finished o where o.finished_at < now() - interval '7 days' limit 100 for update skip locked));
    end if;
    gone := array(select n from unnest(done) n where n = any (gone));
    done := array(select n from unnest(done) n where n = any (living) order by n);
end
$$;
comment on function pgpipe.settle_jobs(int, uuid, jsonb[], bigint[], bytea[]) is
    'Deletes the jobs that `token` still holds, whose gen is what it saw and whose row is unchanged or gone; gives the changed ones back. '
    '`done` numbers (from 1) those whose row lives and is locked: their vectors may be written in this transaction. `gone` numbers '
    'those whose row is not there. `stale` counts the jobs that were no longer this worker''s, or are locked by a writer: nothing of '
    'them may be written.';

create or replace function pgpipe.fail_jobs(embedding_id int, token uuid, keys jsonb[], gens bigint[], error text, charge boolean,
                                            retry_after interval default null)
    returns int  volatile  set search_path = ''  language sql
as $$
    -- Doubling from five seconds to an hour, spread by a fifth so that failures do not come back together.
    with mine as materialized (
        select j.key, j.gen = w.gen as same, j.attempts + fail_jobs.charge::int as attempts, e.max_attempts
          from unnest(fail_jobs.keys, fail_jobs.gens) w (key, gen)
          join pgpipe.job j on j.embedding_id = fail_jobs.embedding_id and j.key = w.key
          join pgpipe.embedding e on e.embedding_id = j.embedding_id
         where j.lease_token = fail_jobs.token
           for update of j skip locked
    ), judged as (
        select m.*, m.same and m.attempts >= m.max_attempts as dead from mine m
    ), failed as (
        update pgpipe.job j
           set lease_token = null, leased_by = null,
               last_error = case when m.same then fail_jobs.error else j.last_error end,
               attempts = case when m.same then m.attempts else j.attempts end,
               dead_at = case when m.dead then now() end,
               visible_at = case when m.dead then 'infinity' when not m.same then now()
                                 else now() + coalesce(fail_jobs.retry_after, least(interval '5 seconds' * 2 ^ least(m.attempts, 10),
                                                       interval '1 hour') * (0.9 + 0.2 * random())) end
          from judged m where j.embedding_id = fail_jobs.embedding_id and j.key = m.key
        returning 1
    )
    select count(*)::int from failed
$$;
comment on function pgpipe.fail_jobs(int, uuid, jsonb[], bigint[], text, boolean, interval) is
    'Gives the jobs back with the error. `charge` counts an attempt against them; after max_attempts a job is dead: kept, listed, retried '
    'by command. A job whose row changed meanwhile is given back as it is: that text has not failed. Returns how many were still this '
    'worker''s.';

create or replace function pgpipe.release_jobs(token uuid)
    returns int  volatile strict  set search_path = ''  language sql
as $$
    with mine as materialized (
        select j.embedding_id, j.key
          from pgpipe.embedding e  -- per embedding: so the index finds them among millions that wait
          join pgpipe.job j on j.embedding_id = e.embedding_id and j.visible_at > now()
         where j.lease_token = release_jobs.token
           for update of j skip locked
    ), released as (
        update pgpipe.job j set lease_token = null, leased_by = null, visible_at = now()
          from mine m where j.embedding_id = m.embedding_id and j.key = m.key
        returning 1
    )
    select count(*)::int from released
$$;
comment on function pgpipe.release_jobs(uuid) is 'Gives back, uncharged and at once, whatever this token still holds. Returns how many.';

create or replace function pgpipe.extend_lease(token uuid, lease interval default '5 minutes')
    returns int  volatile strict  set search_path = ''  language sql
as $$
    with mine as materialized (
        select j.embedding_id, j.key from pgpipe.job j where j.lease_token = extend_lease.token for update skip locked
    ), extended as (
        update pgpipe.job j set visible_at = now() + extend_lease.lease
          from mine m where j.embedding_id = m.embedding_id and j.key = m.key
        returning 1
    )
    select count(*)::int from extended
$$;
comment on function pgpipe.extend_lease(uuid, interval) is 'Holds on for another `lease` from now. Returns how many jobs are still held.';

create or replace function pgpipe.retry_jobs(embedding_id int default null)
    returns int  volatile  set search_path = ''  language sql
as $$
    -- One that a writer has locked is being revived by that writer.
    with dead as materialized (
        select j.embedding_id, j.key from pgpipe.job j
         where j.dead_at is not null and j.embedding_id = coalesce(retry_jobs.embedding_id, j.embedding_id)
           for update skip locked
    ), retried as (
        update pgpipe.job j set dead_at = null, visible_at = now(), attempts = 0
          from dead d where j.embedding_id = d.embedding_id and j.key = d.key
        returning 1
    )
    select count(*)::int from retried
$$;
comment on function pgpipe.retry_jobs(int) is 'Puts dead jobs, of one embedding or of all, back into the queue. Returns how many.';
