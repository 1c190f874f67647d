-- Says what became of each row of a batch since it was read, and acknowledges its jobs.
create or replace function pgpipe_target.settle_1(
    token uuid, worker text, batch pgpipe_internal.batch_row[])
    returns pgpipe_internal.batch_row[]
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $body$
#variable_conflict use_column
declare
    key_1 integer[] := array(select distinct (job.key ->> 'shop')::integer from unnest(batch) job);
    key_2 text[] := array(select distinct (job.key ->> 'Item no')::text from unnest(batch) job);
    hashes jsonb;
begin
    perform pgpipe_internal.commit_together();
    -- Job first, then row: a load enqueues a row before it writes it. One that comes later waits
    -- for the job, and asks for another vector. So no row has to be locked.
    perform pgpipe_internal.held_jobs(
        1, token, array(select job.key from unnest(batch) job));
    with found as materialized (
        select pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(target.shop, null::integer), 'Item no', pgpipe_internal.of_type(target."Item no", null::text)) as key, pgpipe_internal.content_hash(case when exists (select from (select target.*) t where ((NOT sold)
)) and btrim(concat(target.title, target.body), E' \t\n\r') <> '' then btrim(concat_ws(E'\n', case when concat(target.title) <> '' then concat(target.title) end, case when concat(target.body) <> '' then concat(target.body) end), E' \t\n\r') end) as content_hash
          from public.item target where target.shop = any (key_1) and target."Item no" = any (key_2)
    )
    select coalesce(jsonb_object_agg(found.key::text,
                                     coalesce(encode(found.content_hash, 'hex'), '')), '{}')
      into hashes from found;
    return pgpipe_internal.acknowledge_jobs(1, token, worker, array(
        select row(job.key, job.gen, job.attempts, job.content_hash, job.fresh, job.twin,
                   job.source, case
                   when job.outcome is not null then job.outcome
                   when found.content_hash is null then 'gone'
                   when found.content_hash = coalesce(encode(job.content_hash, 'hex'), '')
                   then 'done'
                   else 'changed' end)::pgpipe_internal.batch_row
          from unnest(batch) with ordinality job
         cross join lateral (select hashes ->> job.key::text as content_hash) found
         order by job.ordinality));
end
$body$
