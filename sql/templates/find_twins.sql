-- Finds and locks the vectors that the twins of a batch are given.
create or replace function pgpipe_target.find_twins_{embedding}(
    batch pgpipe_internal.batch_row[], model text)
    returns pgpipe_internal.batch_row[]
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
    set enable_mergejoin = off set jit = off
    language plpgsql
as $body$
#variable_conflict use_column
begin
    -- Vectors to copy are locked. A twin whose vectors are gone is given back, to be read.
    return array(
        select row(job.key, job.gen, job.attempts, job.content_hash, job.fresh, job.twin,
                   found.place, case when job.twin and found.place is null then 'changed' end
                  )::pgpipe_internal.batch_row
          from unnest(batch) with ordinality job
          left join lateral (
               select stored.ctid as place from {store} stored
                where job.twin and stored.content_hash = job.content_hash
                  and stored.model = find_twins_{embedding}.model and stored.chunk = 0
                  and not ({is_key_of_store})
                limit 1 for share skip locked) found on true
         order by job.ordinality);
end
$body$
