-- The queue: claim, finish, fail, extend, release, retry. A worker holds a lease, never a transaction, while the model runs.
-- Every lock is taken with `skip locked`: a worker waits for nobody, so nobody can be in a deadlock with it.
-- These functions forbid the plans that suit large sets: a queue is empty at one moment and has millions of rows at the next, and
-- statistics that lag behind must not turn a claim into a scan of the table.

create or replace function pgpipe_internal.claim_jobs(embedding_id int, max_jobs int, worker text, token uuid,
                                             lease interval default '5 minutes')
    returns table (key jsonb, gen bigint, attempts int, content text, content_hash bytea, fresh boolean, twin boolean)
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
    language plpgsql
as $$
declare
    e pgpipe.embedding;
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = claim_jobs.embedding_id;
    if e.paused_at is not null then
        return;
    end if;
    perform pgpipe_internal.require_all_rows(e);
    -- A lease that ran out is claimed like any other job: its holder is fenced off by the new token. Perhaps a row of the batch killed
    -- the holder, so the batch is halved with each such death until that row stands alone; from then on it is charged.
    return query execute format($sql$
        with ready as materialized (
            select j.ctid as tid, j.key, j.attempts, j.lease_token is not null as rescued,
                   j.rescues + (j.lease_token is not null)::int as rescues
              from pgpipe.job j where j.embedding_id = $1 and j.visible_at <= now()
             order by j.visible_at limit $2 for update skip locked
        ), chosen as materialized (
            select r.tid, r.rescues, c.charge, c.reason, c.reason is not null as dead
              from ready r
             cross join lateral (select (r.rescued and $2 >> least(r.rescues, 30) = 0)::int as charge) s
             cross join lateral (
                   select s.charge, case when %6$s then 'it is not a key of its table'
                                         when s.charge = 1 and r.attempts + 1 >= $7
                                         then 'each worker that took this row alone ended without a word' end as reason) c
             limit (select greatest(1, $2 >> least(max(a.rescues), 30)) from ready a)
        ), leased as (
            update pgpipe.job j
               set rescues = c.rescues, attempts = j.attempts + c.charge,
                   lease_token = case when not c.dead then $3 end, leased_by = case when not c.dead then $4 end,
                   visible_at = case when c.dead then 'infinity' else now() + $5 end, dead_at = case when c.dead then now() end,
                   last_error = coalesce(c.reason, j.last_error)
              from chosen c where j.ctid = c.tid
            returning j.key, j.gen, j.attempts, j.dead_at
        )
        select l.key, l.gen, l.attempts, i.content, h.hash, coalesce(s.content_hash = h.hash and s.model = $6, false),
               h.hash is not null and (s.content_hash = h.hash and s.model = $6) is not true
               and exists (select from %3$s o where o.content_hash = h.hash and o.model = $6 and o.chunk = 0)
          from leased l
          left join lateral (select %1$s as content from %2$s t where %5$s offset 0) i on true
          left join lateral (select pgpipe_internal.content_hash(i.content) as hash offset 0) h on true
          left join lateral (select s.content_hash, s.model from %3$s s where %4$s and s.chunk = 0 offset 0) s on true
         where l.dead_at is null
        $sql$, pgpipe_internal.input_expression(e.columns, e.template, e.condition), e.target, e.store,
        pgpipe_internal.key_match(e.target, e.key_columns, 's', 'l.key'), pgpipe_internal.key_match(e.target, e.key_columns, 't', 'l.key'),
        pgpipe_internal.key_unreadable(e.target, e.key_columns, 'r.key'))
        using e.embedding_id, max_jobs, token, worker, lease, e.model, e.max_attempts;
end
$$;
comment on function pgpipe_internal.claim_jobs(int, int, text, uuid, interval) is
    'Leases up to max_jobs ready jobs, longest waiting first, to `token`, and returns what to '
    'embed. `content` is null if the row is gone, empty or outside the condition. `fresh` says '
    'that the stored vectors are of this very text and model. `twin` says that another row of the '
    'store has them. Jobs whose lease ran out are rescued: claimed again, in a smaller batch each '
    'time. None while the embedding is paused. Commit before the model runs.';

create or replace function pgpipe_internal.runs_code(relation regclass)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Whoever plans a query computes the constants in the expressions of the indexes, CHECKs, statistics and policies.
    with recursive part as (
        select runs_code.relation::oid as oid
        union
        select h.inhrelid from part p join pg_catalog.pg_inherits h on h.inhparent = p.oid
    ), item (class, oid) as (
        select 'pg_catalog.pg_class'::regclass, p.oid from part p
        union all
        select 'pg_catalog.pg_class'::regclass, i.indexrelid from part p join pg_catalog.pg_index i on i.indrelid = p.oid
        union all
        select 'pg_catalog.pg_constraint'::regclass, k.oid
          from part p join pg_catalog.pg_constraint k on k.conrelid = p.oid and k.contype = 'c'
        union all
        select 'pg_catalog.pg_statistic_ext'::regclass, s.oid
          from part p join pg_catalog.pg_statistic_ext s on s.stxrelid = p.oid
        union all
        select 'pg_catalog.pg_policy'::regclass, y.oid
          from pg_catalog.pg_policy y where y.polrelid = relation and row_security_active(relation)
    )
    select exists (select from part p join pg_catalog.pg_class c on c.oid = p.oid where c.relkind = 'f')
        or exists (
               select from item i join pg_catalog.pg_depend d on d.classid = i.class and d.objid = i.oid
                where d.refobjid >= 16384
                  and (d.refclassid in ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass)
                       -- A policy that queries another table plans that too.
                       or i.class = 'pg_catalog.pg_policy'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
                          and d.refobjid <> relation)
                  and not exists (select from pg_catalog.pg_depend x
                                   where x.classid = d.refclassid and x.objid = d.refobjid and x.deptype = 'e'))
$$;
comment on function pgpipe_internal.runs_code(regclass) is
    'Whether a query of the table runs a user''s function before it reads a row. That can be in '
    'an index, a CHECK, statistics, the bounds of partitions, a policy that holds for the caller, '
    'or a foreign partition.';

create or replace function pgpipe_internal.require_lockable(e pgpipe.embedding)
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if not pgpipe_internal.sees_all_rows(e.target, current_user::regrole, 'rw') then
        raise exception 'the embedding % of % is left alone', quote_ident(e.name), e.target using errcode = 'PP012',
            hint = format('Row level security hides rows from %1$I: alter role %1$I bypassrls; or: '
                          'create policy pgpipe_lock on %2$s to %1$I using (true)', current_user, e.target);
    elsif (select c.relkind not in ('r', 'p') from pg_catalog.pg_class c where c.oid = e.target) or pgpipe_internal.runs_code(e.target) then
        raise exception 'functions in the indexes or constraints of % may only run as the worker', e.target using errcode = '42501',
            hint = format('Grant it UPDATE on a column of the key: grant update (%I) on %s to …', e.key_columns[1], e.target);
    end if;
end
$$;
comment on function pgpipe_internal.require_lockable(pgpipe.embedding) is
    'Raises PP012 or 42501 unless rows of a target can be locked without its policies, and without a function of a user''s.';

create or replace function pgpipe_internal.hold_keys(embedding_id int, parts oid[], places tid[])
    returns table (part oid, place tid)
    volatile  security definer  set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off
    language plpgsql
as $$
declare
    e pgpipe.embedding;
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = hold_keys.embedding_id;
    perform pgpipe_internal.require_lockable(e);
    return query execute format('select t.tableoid, t.ctid from unnest($1, $2) w (part, place) '
                                'join %s t on t.ctid = w.place and t.tableoid = w.part for key share of t skip locked', e.target)
        using parts, places;
end
$$;
comment on function pgpipe_internal.hold_keys(int, oid[], tid[]) is
    'Locks rows of an embedding''s target against deletion, those that nobody else has locked. A '
    'worker may not write a target, and a lock asks for that right. By their place, so that no '
    'operator of a key''s type runs, and with no row policy.';

create or replace function pgpipe_internal.settle_jobs(embedding_id int, token uuid, worker text, keys jsonb[], gens bigint[], hashes bytea[],
    out done int[], out gone int[], out stale int, out locked int[])
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
    language plpgsql
as $$
declare
    e pgpipe.embedding;
    numbers int[];  -- of the rows that are there, with where they lie
    parts oid[];
    places tid[];
    same_text boolean[];
    seen int[];     -- rows that are there; locked against deletion until the end
    living int[];   -- of those, the ones that still hold the text the worker saw
    held int[];     -- jobs that are still this worker's
    tids tid[];     -- where those lie; locked, so they stay there
    same boolean[]; -- whether nobody enqueued them again
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = settle_jobs.embedding_id;
    -- What was declared runs as the worker. Where each row lies holds good until the end of this function: the statement that
    -- called it has a snapshot, so vacuum leaves the rows alone.
    execute format($sql$
        select coalesce(array_agg(r.n), '{}'), array_agg(r.part), array_agg(r.place), array_agg(r.same)
          from (select w.n, t.tableoid as part, t.ctid as place, pgpipe_internal.content_hash(%3$s) is not distinct from w.hash as same
                  from unnest($1, $2) with ordinality w (key, hash, n) join %1$s t on %2$s) r
        $sql$, e.target, pgpipe_internal.key_match(e.target, e.key_columns, 't', 'w.key'),
        pgpipe_internal.input_expression(e.columns, e.template, e.condition)) into numbers, parts, places, same_text using keys, hashes;
    gone := array(select w.n from unnest(keys) with ordinality w (key, n) where w.n <> all (numbers));
    -- Target first, then job: the order in which a writer's statement and its trigger take them. A row that was changed since it
    -- was read lies elsewhere.
    if has_any_column_privilege(e.target, 'update') then
        execute format($sql$
            select coalesce(array_agg(r.n), '{}'), coalesce(array_agg(r.n) filter (where r.same), '{}')
              from (select w.n, w.same from unnest($1, $2, $3, $4) w (n, part, place, same)
                      join %1$s t on t.ctid = w.place and t.tableoid = w.part for key share of t skip locked) r
            $sql$, e.target) into seen, living using numbers, parts, places, same_text;
    else
        select coalesce(array_agg(w.n), '{}'), coalesce(array_agg(w.n) filter (where w.same), '{}') into seen, living
          from unnest(numbers, parts, places, same_text) w (n, part, place, same)
          join pgpipe_internal.hold_keys(embedding_id, parts, places) h on h.part = w.part and h.place = w.place;
    end if;
    with mine as materialized (
        select w.n, j.tid, j.gen = w.gen as same
          from unnest(keys, gens) with ordinality w (key, gen, n)
         cross join lateral (  -- key by key: a join might read all that is leased for each of them
               select j.ctid as tid, j.gen from pgpipe.job j
                where j.embedding_id = settle_jobs.embedding_id and j.key = w.key and j.lease_token = settle_jobs.token
                  for update skip locked) j
    )
    select coalesce(array_agg(m.n), '{}'), array_agg(m.tid), array_agg(m.same) into held, tids, same from mine m;
    done := array(select h.n from unnest(held, same) h (n, same) where h.same and (h.n = any (living) or h.n = any (gone)));
    delete from pgpipe.job j
     where j.ctid = any (array(select h.tid from unnest(held, tids) h (n, tid) where h.n = any (done)));
    if cardinality(done) < cardinality(held) then  -- changed meanwhile: back into the queue for the next worker
        update pgpipe.job j set lease_token = null, leased_by = null, visible_at = now()
         where j.ctid = any (array(select h.tid from unnest(held, tids) h (n, tid) where h.n <> all (done)));
    end if;
    locked := '{}';
    if cardinality(held) < cardinality(keys) then
        locked := array(select w.n from unnest(keys) with ordinality w (key, n)
                         cross join lateral (select j.lease_token from pgpipe.job j
                                              where j.embedding_id = settle_jobs.embedding_id and j.key = w.key offset 0) j
                         where j.lease_token = settle_jobs.token and w.n <> all (held));
    end if;
    stale := cardinality(keys) - cardinality(held) - cardinality(locked);
    if done <> '{}' or stale > 0 then
        insert into pgpipe.finished (embedding_id, worker, jobs, stale)
        values (settle_jobs.embedding_id, settle_jobs.worker, cardinality(done), settle_jobs.stale);
        delete from pgpipe.finished f where f.ctid = any (array(
            select o.ctid from pgpipe.finished o where o.finished_at < now() - interval '7 days' limit 100 for update skip locked));
    end if;
    gone := array(select n from unnest(done) n where n = any (gone));
    done := array(select n from unnest(done) n where n = any (living) order by n);
end
$$;
comment on function pgpipe_internal.settle_jobs(int, uuid, text, jsonb[], bigint[], bytea[]) is
    'Deletes the jobs that `token` still holds, if gen is what it saw and the row is unchanged or '
    'gone. Gives the changed ones back. `done` numbers (from 1) those whose row lives and is '
    'locked: their vectors may be written in this transaction. `gone` numbers those whose row is '
    'not there. `stale` counts the jobs that are not this worker''s any more. `locked` numbers '
    'those that a writer has locked: release them a little later. Nothing of either may be '
    'written.';

create or replace function pgpipe_internal.fail_jobs(embedding_id int, token uuid, keys jsonb[], gens bigint[], error text, charge boolean,
                                            retry_after interval default null)
    returns int  volatile  set search_path = pg_catalog, pg_temp
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
    language sql
as $$
    -- Doubling from five seconds to an hour, spread by a fifth so that failures do not come back together.
    with mine as materialized (
        select j.tid, j.gen = w.gen as same, j.attempts + fail_jobs.charge::int as attempts, e.max_attempts
          from pgpipe.embedding e
         cross join unnest(fail_jobs.keys, fail_jobs.gens) w (key, gen)
         cross join lateral (select j.ctid as tid, j.gen, j.attempts from pgpipe.job j
                              where j.embedding_id = fail_jobs.embedding_id and j.key = w.key and j.lease_token = fail_jobs.token
                                for update skip locked) j
         where e.embedding_id = fail_jobs.embedding_id
    ), judged as (
        select m.*, m.same and fail_jobs.charge and m.attempts >= m.max_attempts as dead from mine m
    ), failed as (
        update pgpipe.job j
           set lease_token = null, leased_by = null,
               last_error = case when m.same then fail_jobs.error else j.last_error end,
               attempts = case when m.same then m.attempts else j.attempts end,
               dead_at = case when m.dead then now() end,
               visible_at = case when m.dead then 'infinity' when not m.same then now()
                                 else now() + coalesce(fail_jobs.retry_after, least(interval '5 seconds' * 2 ^ least(m.attempts, 10),
                                                       interval '1 hour') * (0.9 + 0.2 * random())) end
          from judged m where j.ctid = m.tid
        returning 1
    )
    select count(*)::int from failed
$$;
comment on function pgpipe_internal.fail_jobs(int, uuid, jsonb[], bigint[], text, boolean, interval) is
    'Gives the jobs back with the error. `charge` counts an attempt against them; after max_attempts a job is dead: kept, listed, retried '
    'by command. A job whose row changed meanwhile is given back as it is: that text has not failed. Returns how many were still this '
    'worker''s.';

create or replace function pgpipe_internal.release_jobs(embedding_id int, token uuid, keys jsonb[], out released int, out locked int)
    volatile strict  set search_path = pg_catalog, pg_temp
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
    language plpgsql
as $$
begin
    with mine as materialized (
        select j.tid from unnest(release_jobs.keys) w (key)
         cross join lateral (select j.ctid as tid from pgpipe.job j
                              where j.embedding_id = release_jobs.embedding_id and j.key = w.key and j.lease_token = release_jobs.token
                                for update skip locked) j
    )
    update pgpipe.job j set lease_token = null, leased_by = null, visible_at = now() from mine m where j.ctid = m.tid;
    get diagnostics released = row_count;
    select count(*) into locked from unnest(release_jobs.keys) w (key)
     cross join lateral (select j.lease_token from pgpipe.job j
                          where j.embedding_id = release_jobs.embedding_id and j.key = w.key offset 0) j
     where j.lease_token = release_jobs.token;
end
$$;
comment on function pgpipe_internal.release_jobs(int, uuid, jsonb[]) is
    'Gives back, uncharged and at once, those of the keys that this token still holds. `locked` counts those that it holds but that a '
    'writer has locked: call again a little later.';

create or replace function pgpipe_internal.extend_lease(embedding_id int, token uuid, keys jsonb[], lease interval default '5 minutes')
    returns int  volatile strict  set search_path = pg_catalog, pg_temp
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
    language sql
as $$
    with mine as materialized (
        select j.tid from unnest(extend_lease.keys) w (key)
         cross join lateral (select j.ctid as tid from pgpipe.job j
                              where j.embedding_id = extend_lease.embedding_id and j.key = w.key and j.lease_token = extend_lease.token
                                for update skip locked) j
    ), extended as (
        update pgpipe.job j set visible_at = now() + extend_lease.lease from mine m where j.ctid = m.tid
        returning 1
    )
    select count(*)::int from extended
$$;
comment on function pgpipe_internal.extend_lease(int, uuid, jsonb[], interval) is
    'Holds on for another `lease` from now. Returns how many of the keys are still held.';
