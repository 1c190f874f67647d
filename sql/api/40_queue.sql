-- Failed jobs: retried or dropped.

create or replace function pgpipe.retry_jobs(
    embedding_id int default null, keys jsonb[] default null)
    returns int  volatile  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- One that a writer has locked is being revived by that writer.
    with dead as materialized (
        select job.ctid as place from pgpipe.job
         where job.dead_at is not null and job.visible_at = 'infinity'
           and job.embedding_id = coalesce(retry_jobs.embedding_id, job.embedding_id)
           and (retry_jobs.keys is null or job.key = any (retry_jobs.keys))
           for update skip locked
    ), retried as (
        update pgpipe.job set dead_at = null, visible_at = clock_timestamp(), attempts = 0,
                              rescues = 0
          from dead where job.ctid = dead.place
        returning 1
    )
    select count(*)::int from retried
$$;
comment on function pgpipe.retry_jobs(int, jsonb[]) is
    'Puts dead jobs back into the queue: all, those of one embedding, or those with the given '
    'keys. Returns how many. '
    'Example: select pgpipe.retry_jobs(keys => array[''{"id": 1}''::jsonb])';

create or replace function pgpipe.drop_jobs(
    embedding_id int default null, keys jsonb[] default null)
    returns int  volatile  set search_path = pg_catalog, pg_temp  language sql
as $$
    with dead as materialized (
        select job.ctid as place from pgpipe.job
         where job.dead_at is not null and job.visible_at = 'infinity'
           and job.embedding_id = coalesce(drop_jobs.embedding_id, job.embedding_id)
           and (drop_jobs.keys is null or job.key = any (drop_jobs.keys))
           for update skip locked
    ), dropped as (
        delete from pgpipe.job using dead where job.ctid = dead.place
        returning job.embedding_id
    ), noted as (
        -- Their rows have no vectors, and now no jobs: until the next sweep only this number says
        -- it.
        update pgpipe.sweep set lacking = sweep.lacking + lost.jobs
          from (select dropped.embedding_id, count(*) as jobs from dropped
                 group by dropped.embedding_id) lost
         where sweep.embedding_id = lost.embedding_id
    )
    select count(*)::int from dropped
$$;
comment on function pgpipe.drop_jobs(int, jsonb[]) is
    'Deletes dead jobs, chosen as in retry_jobs. Their rows stay without fresh vectors until they '
    'change or are reconciled. Returns how many. '
    'Example: select pgpipe.drop_jobs(embedding_id => 1)';
