-- Views that the CLI, psql and a dashboard read alike.

create or replace view pgpipe.embedding_status as
select e.embedding_id, c.relname as entity, e.name, e.model, e.dims, e.active,
       count(j.key) filter (where j.dead_at is null and j.lease_token is null) as waiting,
       count(j.key) filter (where j.lease_token is not null) as leased,
       count(j.key) filter (where j.dead_at is not null) as dead,
       now() - min(j.enqueued_at) filter (where j.dead_at is null) as oldest_age
  from pgpipe.embedding e
  join pg_catalog.pg_class c on c.oid = e.target
  left join pgpipe.job j using (embedding_id)
 group by e.embedding_id, c.relname;
comment on view pgpipe.embedding_status is 'Per embedding: its model, and the jobs waiting, leased and dead.';

create or replace view pgpipe.load_status as
select distinct on (l.entity, l.schema) l.entity, l.date, l.mode, l.started_at, l.finished_at, l.read, l.inserted, l.updated, l.deleted,
       l.unchanged, l.error,
       case when l.error is not null then 'failed' when l.finished_at is null then 'running' else 'done' end as state,
       l.schema
  from pgpipe.load l
 order by l.entity, l.schema, l.started_at desc, l.load_id desc;
comment on view pgpipe.load_status is 'The last load of each entity.';

create or replace view pgpipe.embedding_throughput as
select f.embedding_id, c.relname as entity, e.name, date_trunc('minute', f.finished_at) as minute, sum(f.jobs)::bigint as jobs
  from pgpipe.finished f
  join pgpipe.embedding e using (embedding_id)
  join pg_catalog.pg_class c on c.oid = e.target
 group by f.embedding_id, c.relname, e.name, date_trunc('minute', f.finished_at);
comment on view pgpipe.embedding_throughput is 'Jobs finished per embedding and minute, for a week back; minutes without any are left out.';
