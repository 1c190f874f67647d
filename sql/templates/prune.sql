-- Deletes vectors that a batch leaves behind: of rows that are gone, and passages too many.
create or replace function pgpipe_target.prune_{embedding}(
    batch pgpipe_internal.batch_row[], passages pgpipe_internal.passage[], model text)
    returns void
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
    set enable_mergejoin = off set jit = off
    language plpgsql
as $body$
#variable_conflict use_column
declare
    sizes bigint[] := array(  -- how many passages each job has
        select sum(item.one)
          from (select job.ordinality as job, 0 as one from unnest(batch) with ordinality job
                union all select passage.job, 1 from unnest(passages) passage) item
         group by item.job order by item.job);
begin
    delete from {store} stored using unnest(batch) with ordinality job
     where (job.outcome = 'gone' or job.outcome = 'done' and not job.fresh) and {is_key_of_store}
       and case when job.outcome = 'gone' then true
                when job.twin then stored.content_hash <> job.content_hash
                                   or stored.model <> prune_{embedding}.model
                else stored.chunk >= sizes[job.ordinality] end;
end
$body$
