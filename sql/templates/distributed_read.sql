-- Reads the texts of a batch from a distributed table, and what the store has of them already.
create or replace function pgpipe_target.read_{embedding}(
    batch pgpipe_internal.batch_row[], model text)
    returns table (key jsonb, gen bigint, attempts int, content text, content_hash bytea,
                   fresh boolean, twin boolean)
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $body$
#variable_conflict use_column
declare
    {keys_of_batch}
    texts jsonb;
    known jsonb;
begin
    -- Rows are on other servers, and the batch is here: they are asked for by their keys alone.
    with found as materialized (
        select {key_of_target} as key, {input} as content
          from {target} target where {target_is_of_batch}
    )
    select coalesce(jsonb_object_agg(found.key::text, found.content), '{}') into texts from found;
    with held as materialized (
        select {key_of_store} as key, stored.content_hash from {store} stored
         where {store_is_of_batch} and stored.chunk = 0
           and stored.model = read_{embedding}.model
    )
    select coalesce(jsonb_object_agg(held.key::text, encode(held.content_hash, 'hex')), '{}')
      into known from held;
    return query
    select job.key, job.gen, job.attempts, input.content, hashed.content_hash,
           coalesce(known ->> job.key::text = encode(hashed.content_hash, 'hex'), false), false
      from unnest(batch) job
     cross join lateral (select texts ->> job.key::text as content) input
     cross join lateral (
           select pgpipe_internal.content_hash(input.content) as content_hash offset 0) hashed;
end
$body$
