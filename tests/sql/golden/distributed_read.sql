-- Reads the texts of a batch from a distributed table, and what the store has of them already.
create or replace function pgpipe_target.read_1(
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
    key_1 integer[] := array(select distinct (job.key ->> 'shop')::integer from unnest(batch) job);
    key_2 text[] := array(select distinct (job.key ->> 'Item no')::text from unnest(batch) job);
    texts jsonb;
    known jsonb;
begin
    -- Rows are on other servers, and the batch is here: they are asked for by their keys alone.
    with found as materialized (
        select pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(target.shop, null::integer), 'Item no', pgpipe_internal.of_type(target."Item no", null::text)) as key, case when exists (select from (select target.*) t where ((NOT sold)
)) and btrim(concat(target.title, target.body), E' \t\n\r') <> '' then btrim(concat_ws(E'\n', case when concat(target.title) <> '' then concat(target.title) end, case when concat(target.body) <> '' then concat(target.body) end), E' \t\n\r') end as content
          from public.item target where target.shop = any (key_1) and target."Item no" = any (key_2)
    )
    select coalesce(jsonb_object_agg(found.key::text, found.content), '{}') into texts from found;
    with held as materialized (
        select pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(stored.shop, null::integer), 'Item no', pgpipe_internal.of_type(stored."Item no", null::text)) as key, stored.content_hash from public.item_embedding stored
         where stored.shop = any (key_1) and stored."Item no" = any (key_2) and stored.chunk = 0
           and stored.model = read_1.model
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
