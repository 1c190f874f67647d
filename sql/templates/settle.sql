-- Says what became of each row of a batch since it was read, and acknowledges its jobs.
create or replace function pgpipe_target.settle_{embedding}(
    token uuid, worker text, batch pgpipe_internal.batch_row[])
    returns pgpipe_internal.batch_row[]
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
    set enable_mergejoin = off set jit = off
    language plpgsql
as $body$
#variable_conflict use_column
declare
    parts oid[];     -- where the row of each job lies
    places tid[];
    same boolean[];  -- whether it still holds the text that the worker read
    held int[];      -- jobs whose row is locked against deletion until the end
begin
    select array_agg(found.part order by job.ordinality),
           array_agg(found.place order by job.ordinality),
           array_agg(found.content_hash is not distinct from job.content_hash
                     order by job.ordinality)
      into parts, places, same
      from unnest(batch) with ordinality job
      left join lateral (
           select target.tableoid as part, target.ctid as place,
                  pgpipe_internal.content_hash({input}) as content_hash
             from {target} target where {is_key_of_target} limit 1) found on true;
    -- Target first, then job: the order of a writer's statement and its trigger.
    held := pgpipe_target.lock_{embedding}(parts, places);
    return pgpipe_internal.acknowledge_jobs({embedding}, token, worker, array(
        select row(job.key, job.gen, job.attempts, job.content_hash, job.fresh, job.twin,
                   job.source, case
                   when job.outcome is not null then job.outcome
                   when places[job.ordinality] is null then 'gone'
                   when same[job.ordinality] and job.ordinality = any (held) then 'done'
                   else 'changed' end)::pgpipe_internal.batch_row
          from unnest(batch) with ordinality job order by job.ordinality));
end
$body$
