-- Failed jobs: retried or dropped.

create or replace function pgpipe.retry_jobs(embedding_id int default null, keys jsonb[] default null)
    returns int  volatile  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- One that a writer has locked is being revived by that writer.
    with dead as materialized (
        select j.ctid as tid from pgpipe.job j
         where j.dead_at is not null and j.visible_at = 'infinity'
           and j.embedding_id = coalesce(retry_jobs.embedding_id, j.embedding_id)
           and (retry_jobs.keys is null or j.key = any (retry_jobs.keys))
           for update skip locked
    ), retried as (
        update pgpipe.job j set dead_at = null, visible_at = now(), attempts = 0, rescues = 0 from dead d where j.ctid = d.tid
        returning 1
    )
    select count(*)::int from retried
$$;
comment on function pgpipe.retry_jobs(int, jsonb[]) is
    'Puts dead jobs back into the queue: all, those of one embedding, or those with the given keys. Returns how many. '
    'Example: select pgpipe.retry_jobs(keys => array[''{"id": 1}''::jsonb])';

create or replace function pgpipe.drop_jobs(embedding_id int default null, keys jsonb[] default null)
    returns int  volatile  set search_path = pg_catalog, pg_temp  language sql
as $$
    with dead as materialized (
        select j.ctid as tid from pgpipe.job j
         where j.dead_at is not null and j.visible_at = 'infinity'
           and j.embedding_id = coalesce(drop_jobs.embedding_id, j.embedding_id)
           and (drop_jobs.keys is null or j.key = any (drop_jobs.keys))
           for update skip locked
    ), dropped as (
        delete from pgpipe.job j using dead d where j.ctid = d.tid
        returning j.embedding_id
    ), noted as (  -- their rows have no vectors, and now no jobs either: until the next sweep only this number says so
        update pgpipe.sweep s set lacking = s.lacking + d.jobs
          from (select x.embedding_id, count(*) as jobs from dropped x group by x.embedding_id) d
         where s.embedding_id = d.embedding_id
    )
    select count(*)::int from dropped
$$;
comment on function pgpipe.drop_jobs(int, jsonb[]) is
    'Deletes dead jobs, chosen as in retry_jobs: their rows stay without fresh vectors until they change or are reconciled. '
    'Returns how many. '
    'Example: select pgpipe.drop_jobs(embedding_id => 1)';
