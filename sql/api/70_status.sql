-- Views that the CLI, psql and a dashboard read alike.

drop view if exists pgpipe.embedding_status;  -- no cascade: a view of a user's on it is named, not dropped
create view pgpipe.embedding_status as
with counted as (  -- one by one up to 100,000 jobs of an embedding, in the order of their index
    select e.embedding_id, j.*
      from pgpipe.embedding e
     cross join lateral (
           select count(*) as jobs, count(a.lease_token) as leased, count(a.dead_at) as dead,
                  min(a.enqueued_at) filter (where a.dead_at is null) as oldest
             from (select b.lease_token, b.dead_at, b.enqueued_at from pgpipe.job b
                    where b.embedding_id = e.embedding_id order by b.visible_at limit 100001) a) j
), sampled as (  -- beyond, all jobs by what about 2,000 pages of the table hold, always the same ones
    select s.embedding_id, round(count(*) * 100 / p.percent)::bigint as jobs, round(count(s.dead_at) * 100 / p.percent)::bigint as dead,
           min(s.enqueued_at) filter (where s.dead_at is null) as oldest
      from (select case when max(c.jobs) > 100000 then
                        least(100, 2000 * 100 * current_setting('block_size')::numeric / pg_catalog.pg_relation_size('pgpipe.job'))
                        else 0 end as percent from counted c) p
     cross join lateral (select * from pgpipe.job tablesample system (p.percent) repeatable (0)) s
     group by s.embedding_id, p.percent
), queue as (
    select c.embedding_id, c.leased, c.dead, c.jobs - c.leased - c.dead as waiting, c.oldest, false as estimated
      from counted c where c.jobs <= 100000
    union all  -- the few that are leased or dead are found by the index: a sample would miss them
    select c.embedding_id, l.jobs, greatest(d.jobs, case when d.jobs >= 100000 then s.dead end),
           greatest(greatest(c.jobs, s.jobs) - l.jobs - greatest(d.jobs, case when d.jobs >= 100000 then s.dead end), 0),
           least(c.oldest, l.oldest, s.oldest), true
      from counted c
      left join sampled s using (embedding_id)
     cross join lateral (
           select count(a.lease_token) as jobs, min(a.enqueued_at) as oldest
             from (select b.lease_token, b.enqueued_at from pgpipe.job b
                    where b.embedding_id = c.embedding_id and b.visible_at > now() and b.visible_at < 'infinity'
                    order by b.visible_at limit 100000) a) l
     cross join lateral (
           select count(*) as jobs from (select from pgpipe.job b where b.embedding_id = c.embedding_id and b.visible_at = 'infinity'
                                          order by b.visible_at limit 100000) a) d
     where c.jobs > 100000
)
select e.embedding_id, c.relname as entity, e.name, e.model, e.dims, e.active, e.paused_at is not null as paused,
       j.waiting, j.leased, j.dead, n.rows,
       case when d.doubt is null and n.rows > 0 then
            case when o.open = 0 then 1.0000
                 else least(round(1 - o.open::numeric / n.rows, 4), 0.9999) end end as coverage,  -- 1.0 is said of all rows, not of most
       now() - j.oldest as oldest_age, f.rate, make_interval(secs => (j.waiting + j.leased) / nullif(f.rate, 0)::float8) as eta, f.stale,
       j.estimated, t.nspname as schema, w.swept_at,
       nullif(concat_ws('; ', d.doubt, d.hidden,
                        case when w.lacking > 0 then format('jobs of %s rows were dropped', w.lacking) end), '') as reason
  from queue j
  join pgpipe.embedding e using (embedding_id)
  join pg_catalog.pg_class c on c.oid = e.target
  join pg_catalog.pg_namespace t on t.oid = c.relnamespace
  left join pgpipe.sweep w using (embedding_id)
 cross join lateral (
       select pgpipe_internal.coverage_doubt(e, w.definition, (select min(m.sqlstate) from pgpipe.missed m
                                                       where m.embedding_id = e.embedding_id)) as doubt,
              pgpipe_internal.hidden_rows(e, pgpipe_internal.worker_role()) as hidden offset 0) d
 cross join lateral (select j.waiting + j.leased + j.dead + coalesce(w.lacking, 0) as open offset 0) o
 cross join lateral (  -- a row that has a vector may have a job as well: the statistics of the table say how many there are at most
       select least(v.vectors + o.open, greatest(v.vectors, o.open, pgpipe_internal.target_rows(e.target)))::bigint as rows
         from (select pgpipe_internal.stored_rows(e) as vectors offset 0) v) n
 cross join lateral (
       select (select round(coalesce(sum(w.jobs), 0) / 60.0, 1) from pgpipe.finished w
                where w.embedding_id = e.embedding_id and w.finished_at > now() - interval '1 minute') as rate,
              (select coalesce(sum(w.stale), 0)::bigint from pgpipe.finished w
                where w.embedding_id = e.embedding_id and w.stale > 0) as stale) f;
comment on view pgpipe.embedding_status is
    'Per embedding: its model, and the jobs waiting, leased and dead. `rows` is about how many '
    'rows have vectors or should have. `coverage` is the share of them whose vectors are up to '
    'date. It is 1 if every row that should have a vector has one of its present text. That holds '
    'as far as triggers see what is written, and as of `swept_at` for all else. If it is unknown, '
    'it is null with a `reason`. `oldest_age` is the age of the oldest job, the lag. `rate` is '
    'jobs per second over the last minute, and `eta` when the queue is empty at that rate. '
    '`stale` are results dropped within a week because their job had passed to another worker. '
    'Beyond 100,000 jobs of an embedding, those waiting are an estimate, right to about a tenth '
    '(`estimated`). So is what is computed from them.';

create or replace view pgpipe.queue_status as
select t.n_live_tup as live_tuples, t.n_dead_tup as dead_tuples, t.last_autovacuum, pg_catalog.pg_total_relation_size(t.relid) as bytes,
       s.holder as oldest_snapshot, s.since as oldest_snapshot_since, s.age as oldest_snapshot_age
  from pg_catalog.pg_stat_all_tables t
  left join lateral (
       select h.* from (
           select format('process %s (%s)', a.pid, coalesce(nullif(a.application_name, ''), a.backend_type)), a.xact_start,
                  pg_catalog.age(a.backend_xmin)
             from pg_catalog.pg_stat_activity a where a.backend_xmin is not null and a.pid <> pg_catalog.pg_backend_pid()
           union all
           select format('prepared transaction %s', p.gid), p.prepared, pg_catalog.age(p.transaction) from pg_catalog.pg_prepared_xacts p
           union all
           select format('replication slot %s', r.slot_name), null, pg_catalog.age(r.xmin)
             from pg_catalog.pg_replication_slots r where r.xmin is not null
       ) h (holder, since, age) order by h.age desc, h.since limit 1) s on true
 where t.relid = 'pgpipe.job'::regclass;
comment on view pgpipe.queue_status is
    'The health of the job table: dead tuples that wait for vacuum, and the oldest snapshot. '
    'While that snapshot is held, vacuum cannot remove them; its age is in transactions. Other '
    'users'' processes are shown to members of pg_read_all_stats only.';

create or replace view pgpipe.load_status as
select distinct on (l.entity, l.schema) l.entity, l.date, l.mode, l.started_at, l.finished_at, l.read, l.inserted, l.updated, l.deleted,
       l.unchanged, l.error,
       case when l.error is not null then 'failed' when l.finished_at is null then 'running' else 'done' end as state,
       l.schema, l.left_out
  from pgpipe.load l
 order by l.entity, l.schema, l.started_at desc, l.load_id desc;
comment on view pgpipe.load_status is 'The last load of each entity.';

drop view if exists pgpipe.embedding_throughput;  -- of 0.1.0

create or replace view pgpipe.load_throughput as
select l.entity, l.schema, l.started_at, l.read,
       l.read / greatest(extract(epoch from l.finished_at - l.started_at), 0.001)::double precision as rows_per_second
  from pgpipe.load l
 where l.finished_at is not null and l.error is null and l.read > 0;
comment on view pgpipe.load_throughput is 'How fast each load was that read rows and did not fail.';

create or replace view pgpipe.index_progress as
select e.embedding_id, c.relname as entity, e.name, p.pid, p.phase,
       case when p.blocks_total > 0 then 100.0 * p.blocks_done / p.blocks_total
            when p.tuples_total > 0 then 100.0 * p.tuples_done / p.tuples_total end as percent
  from pg_catalog.pg_stat_progress_create_index p
  join pgpipe.embedding e on e.store = p.relid::regclass
  join pg_catalog.pg_class c on c.oid = e.target
 where p.datname = current_database();
comment on view pgpipe.index_progress is 'Vector indexes that are being built now: the phase, and the share of it that is done.';
