-- Views that the CLI, psql and a dashboard read alike.

drop view if exists pgpipe.embedding_status;  -- no cascade: a user's view on it is named, and stays
drop view if exists pgpipe.embedding_jobs;
drop view if exists pgpipe.embedding_throughput;  -- of 0.1.0

create view pgpipe.embedding_jobs as
with counted as (  -- in the order of their index
    select e.embedding_id, jobs.*, jobs.seen > 100000 as long,
           greatest(pgpipe_internal.target_rows(e.target), 1) as rows
      from pgpipe.embedding e
     cross join lateral (
           select count(*) as seen, count(lease_token) as leased, count(dead_at) as dead,
                  min(enqueued_at) filter (where dead_at is null) as oldest
             from (select job.lease_token, job.dead_at, job.enqueued_at from pgpipe.job job
                    where job.embedding_id = e.embedding_id
                    order by job.visible_at limit 100001) first) jobs
), queue as (  -- what nobody counted belongs to the long ones, by the rows of their targets
    select counted.*, counted.seen + case when counted.long then
               greatest(pg_catalog.pg_stat_get_live_tuples('pgpipe.job'::regclass)
                        - sum(counted.seen) over (), 0)
               * counted.rows / sum(counted.rows) filter (where counted.long) over ()
               else 0 end as total
      from counted
)
select queue.embedding_id,
       greatest(round(queue.total)::bigint - found.leased - found.dead, 0) as waiting,
       found.leased, found.dead, least(queue.oldest, leased.oldest) as oldest,
       queue.long as estimated
  from queue
 cross join lateral (  -- the few that are leased or dead may stand behind those that were counted
       select count(lease_token) as jobs, min(enqueued_at) as oldest
         from (select job.lease_token, job.enqueued_at from pgpipe.job job
                where queue.long and job.embedding_id = queue.embedding_id
                  and job.visible_at > now() and job.visible_at < 'infinity'
                order by job.visible_at limit 100001) later) leased
 cross join lateral (
       select count(*) as jobs
         from (select from pgpipe.job job
                where queue.long and job.embedding_id = queue.embedding_id
                  and job.visible_at = 'infinity' limit 100001) last) dead
 cross join lateral (
       select case when queue.long then leased.jobs else queue.leased end as leased,
              case when queue.long then dead.jobs else queue.dead end as dead) found;
comment on view pgpipe.embedding_jobs is
    'Per embedding: its jobs waiting, leased and dead, and when the oldest that is not dead was '
    'enqueued. Each number is counted up to 100,001. Beyond that, those waiting are `estimated` '
    'by the server''s statistics of the queue. If several queues are that long, they share what '
    'these say by the rows of their targets.';

create view pgpipe.embedding_status as
select e.embedding_id, class.relname as entity, e.name, e.model, e.dims, e.active,
       e.paused_at is not null as paused, jobs.waiting, jobs.leased, jobs.dead, known.rows,
       case when doubt.doubt is null and known.rows > 0 then
            case when open.jobs = 0 then 1.0000  -- is said of all rows, not of most
                 else least(round(1 - open.jobs::numeric / known.rows, 4), 0.9999) end
            end as coverage,
       now() - jobs.oldest as oldest_age, done.rate,
       make_interval(secs => (jobs.waiting + jobs.leased) / nullif(done.rate, 0)::float8) as eta,
       done.stale, jobs.estimated, home.nspname as schema, sweep.swept_at,
       nullif(concat_ws('; ', doubt.doubt,
                        pgpipe_internal.hidden_rows(e, pgpipe_internal.worker_role()),
                        pgpipe_internal.lacking_grants(e, pgpipe_internal.worker_role()),
                        case when sweep.lacking > 0
                             then format('jobs of %s rows were dropped', sweep.lacking) end,
                        trouble.met),
              '') as reason,
       e.index_precision, health.recall as index_recall, health.dead as index_dead,
       health.measured_at as index_measured_at
  from pgpipe.embedding_jobs jobs
  join pgpipe.embedding e using (embedding_id)
  join pg_catalog.pg_class class on class.oid = e.target
  join pg_catalog.pg_namespace home on home.oid = class.relnamespace
  left join pgpipe.sweep sweep using (embedding_id)
  left join pgpipe.index_health health using (embedding_id)
 cross join lateral (
       select pgpipe_internal.coverage_doubt(e, sweep.definition, (
                  select min(missed.sqlstate) from pgpipe.missed missed
                   where missed.embedding_id = e.embedding_id)) as doubt offset 0) doubt
 cross join lateral (
       select jobs.waiting + jobs.leased + jobs.dead + coalesce(sweep.lacking, 0) as jobs
       offset 0) open
 cross join lateral (  -- offset 0: counted once, however often it is read
       select pgpipe_internal.stored_rows(e) as rows offset 0) stored
 cross join lateral (  -- a row may have a vector and a job: the statistics say how many at most
       select least(stored.rows + open.jobs, greatest(
                  stored.rows, open.jobs, pgpipe_internal.target_rows(e.target)))::bigint as rows
       offset 0) known
 cross join lateral (  -- a worker that served it since had none
       select string_agg(format('%s could not %s at %s: %s', met.worker,
                                case met.step when 'serve' then 'embed its rows'
                                              when 'sweep' then 'compare its rows with its vectors'
                                              else 'build its vector index' end,
                                date_trunc('second', met.met_at), met.error),
                         '; ' order by met.step) as met
         from pgpipe.trouble met
        where met.embedding_id = e.embedding_id
          and (met.step <> 'serve' or jobs.waiting + jobs.leased > 0 and not exists (
               select from pgpipe.finished later
                where later.embedding_id = e.embedding_id and later.finished_at > met.met_at
                  and later.jobs > 0))) trouble
 cross join lateral (
       select (select round(coalesce(sum(last.jobs), 0) / 60.0, 1) from pgpipe.finished last
                where last.embedding_id = e.embedding_id
                  and last.finished_at > now() - interval '1 minute') as rate,
              (select coalesce(sum(late.stale), 0)::bigint from pgpipe.finished late
                where late.embedding_id = e.embedding_id and late.stale > 0) as stale) done;
comment on view pgpipe.embedding_status is
    'Per embedding: its model, and the jobs waiting, leased and dead. `rows` is about how many '
    'rows have vectors or should have. `coverage` is the share of them whose vectors are up to '
    'date. It is 1 if every row that should have a vector has one of its present text. That holds '
    'as far as triggers see what is written, and as of `swept_at` for all else. If it is unknown, '
    'it is null with a `reason`, which also says what errors an embedder met with it as a whole. '
    '`index_precision` is what the vector index holds, or will once it is built. `index_recall` '
    'and `index_dead` are what pgpipe.index_health says of it. '
    '`oldest_age` is the age of the oldest job, the lag. `rate` is '
    'jobs per second over the last minute, and `eta` when the queue is empty at that rate. '
    '`stale` are results dropped within a week because their job had passed to another worker. '
    'Beyond 100,000 jobs of an embedding, those waiting are an estimate (`estimated`), see '
    'pgpipe.embedding_jobs. So is what is computed from them.';

create or replace view pgpipe.queue_status as
select stats.n_live_tup as live_tuples, stats.n_dead_tup as dead_tuples, stats.last_autovacuum,
       pg_catalog.pg_total_relation_size(stats.relid) as bytes,
       oldest.holder as oldest_snapshot, oldest.since as oldest_snapshot_since,
       oldest.age as oldest_snapshot_age
  from pg_catalog.pg_stat_all_tables stats
  left join lateral (
       select held.* from (
           select format('process %s (%s)', process.pid, coalesce(
                      nullif(process.application_name, ''), process.backend_type)),
                  process.xact_start, pg_catalog.age(process.backend_xmin)
             from pg_catalog.pg_stat_activity process
            where process.backend_xmin is not null
              and process.pid <> pg_catalog.pg_backend_pid()
           union all
           select format('prepared transaction %s', prepared.gid), prepared.prepared,
                  pg_catalog.age(prepared.transaction)
             from pg_catalog.pg_prepared_xacts prepared
           union all
           select format('replication slot %s', slot.slot_name), null, pg_catalog.age(slot.xmin)
             from pg_catalog.pg_replication_slots slot where slot.xmin is not null
       ) held (holder, since, age) order by held.age desc, held.since limit 1) oldest on true
 where stats.relid = 'pgpipe.job'::regclass;
comment on view pgpipe.queue_status is
    'The health of the job table: dead tuples that wait for vacuum, and the oldest snapshot. '
    'While that snapshot is held, vacuum cannot remove them; its age is in transactions. Other '
    'users'' processes are shown to members of pg_read_all_stats only.';

create or replace view pgpipe.load_history as
select load.load_id, load.schema, load.entity, load.date, load.mode, load.started_at,
       load.finished_at,
       case when load.error is not null or broken.off then 'failed'
            when load.finished_at is null then 'running' else 'done' end as state,
       passed.seconds, load.read / greatest(passed.seconds, 0.001) as rows_per_second, load.read,
       load.inserted, load.updated, load.deleted, load.unchanged, load.rejected, load.left_out,
       case when broken.off then pgpipe_internal.broken_off(load.alive_at)
            else load.error end as error,
       load.superseded, load.deletes, load.alive_at
  from pgpipe.load load
 cross join lateral (  -- offset 0: asked once, however often it is read
       select load.finished_at is null and not pgpipe_internal.is_load_alive(
                  load.schema, load.entity, load.alive_at) as off offset 0) broken
 cross join lateral (
       select extract(epoch from coalesce(
                  load.finished_at, case when broken.off
                                         then coalesce(load.alive_at, load.started_at)
                                         else now() end) - load.started_at)
              ::double precision as seconds) passed;
comment on view pgpipe.load_history is
    'All loads: their state (running, done or failed), how long they took, how fast they were and '
    'what they did. Of a load that runs, `seconds` are those until now. A load that neither ended '
    'nor runs was broken off: it is failed, and `error` says when it was last alive.';

create or replace view pgpipe.load_status as
select distinct on (load.entity, load.schema)
       load.entity, load.date, load.mode, load.started_at, load.finished_at, load.read,
       load.inserted, load.updated, load.deleted, load.unchanged, load.error, load.state,
       load.schema, load.left_out, load.superseded, load.deletes
  from pgpipe.load_history load
 order by load.entity, load.schema, load.started_at desc, load.load_id desc;
comment on view pgpipe.load_status is 'The last load of each entity.';

create or replace view pgpipe.load_throughput as
select load.entity, load.schema, load.started_at, load.read, load.rows_per_second
  from pgpipe.load_history load
 where load.state = 'done' and load.read > 0;
comment on view pgpipe.load_throughput is 'How fast each load was that read rows and did not fail.';

create or replace view pgpipe.index_progress as
select e.embedding_id, class.relname as entity, e.name, build.pid, build.phase,
       case when build.blocks_total > 0 then 100.0 * build.blocks_done / build.blocks_total
            when build.tuples_total > 0 then 100.0 * build.tuples_done / build.tuples_total
            end as percent,
       home.nspname as schema
  from pg_catalog.pg_stat_progress_create_index build
  join pgpipe.embedding e on e.store = build.relid::regclass
  join pg_catalog.pg_class class on class.oid = e.target
  join pg_catalog.pg_namespace home on home.oid = class.relnamespace
 where build.datname = current_database();
comment on view pgpipe.index_progress is
    'Vector indexes that are being built now: the phase, and the share of it that is done.';

create or replace view pgpipe.date_status as
select seen.entity, seen.schema, cardinality(missing.dates) as behind, missing.dates, seen.seen_at,
       now() - seen.seen_at as age
  from pgpipe.source_date seen
 cross join lateral (
       select array_agg(distinct file.date) as dates, max(load.replaced) as replaced,
              (array_agg(load.mode order by load.load_id desc))[1] as mode
         from pgpipe.load_file file
         join pgpipe.load load on load.load_id = file.load_id
        where (file.entity, file.schema) = (seen.entity, seen.schema)) held
 cross join lateral (  -- offset 0: found once, however often it is read
       select pgpipe_internal.dates_behind(seen.dates, held.dates, held.mode, held.replaced)
              as dates offset 0) missing;
comment on view pgpipe.date_status is
    'Per entity, the dates that the source had when a load last looked (`seen_at`) and that are '
    'not loaded. A load looks at the newest 31 dates and at those since the newest one loaded.';

create or replace view pgpipe.token_status with (security_invoker = true) as
select t.token_id, t.name, t.role,
       case when t.revoked_at is not null then 'revoked' when t.expires_at <= now() then 'expired'
            else 'active' end as state,
       t.entities, t.per_minute, t.burst, t.created_at, t.expires_at, t.revoked_at, t.used_on
  from pgpipe.token t;
comment on view pgpipe.token_status is
    'Tokens of the search API: whose, for what and until when. `used_on` is the last day of use. '
    'Only the owner and pgpipe_api read it.';

drop view if exists pgpipe.unanswered;

-- With its reader's rights: who may read whose questions, the policies of the table say.
create view pgpipe.unanswered with (security_invoker = true) as
select home.nspname as schema, class.relname as entity,
       coalesce(min(asked.question), encode(asked.hash, 'hex')) as question,
       count(*) as times, max(asked.asked_at) as last_at
  from pgpipe.asked asked
  join pg_catalog.pg_class class on class.oid = asked.target
  join pg_catalog.pg_namespace home on home.oid = class.relnamespace
 group by asked.target, asked.hash, home.nspname, class.relname
having max(asked.hits) = 0;
comment on view pgpipe.unanswered is
    'Questions of the log that never had a hit, or their hashes if words are not kept. It shows '
    'what the reader may see of pgpipe.asked.';
