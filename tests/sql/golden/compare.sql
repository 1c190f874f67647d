-- Finds rows of a range whose stored vectors are not of their present text and model.
create or replace function pgpipe_target.compare_1(
    after jsonb, max_rows int, is_blind boolean, model text,
    out examined bigint, out last jsonb, out stale jsonb[], out parts oid[], out places tid[])
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1 set plan_cache_mode = force_custom_plan
    language plpgsql
as $body$
#variable_conflict use_column
<<bounds>>
declare
    low jsonb := after;
begin
    -- In the order of the primary key. Blind, each row counts as another than the stored one.
    with range as materialized (
        select pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(target.shop, null::integer), 'Item no', pgpipe_internal.of_type(target."Item no", null::text)) as key,
               case when not compare_1.is_blind
                    then pgpipe_internal.content_hash(case when exists (select from (select target.*) t where ((NOT sold)
)) and btrim(concat(target.title, target.body), E' \t\n\r') <> '' then btrim(concat_ws(E'\n', case when concat(target.title) <> '' then concat(target.title) end, case when concat(target.body) <> '' then concat(target.body) end), E' \t\n\r') end) end as content_hash,
               row_number() over (order by target.shop, target."Item no") as number,
               target.tableoid as part, target.ctid as place, target.shop as key_1, target."Item no" as key_2
          from public.item target
         where (bounds.low is null or (target.shop, target."Item no") operator(pg_catalog.>) ((bounds.low ->> 'shop')::integer, (bounds.low ->> 'Item no')::text))
         order by target.shop, target."Item no" limit compare_1.max_rows
    ), wrong as (
        select range.key, range.part, range.place, range.number
          from range left join public.item_embedding stored on range.key_1 operator(pg_catalog.=) stored.shop and range.key_2 operator(pg_catalog.=) stored."Item no" and stored.chunk = 0
         where case when compare_1.is_blind then true
                    when range.content_hash is null then stored.content_hash is not null
                    else stored.content_hash is distinct from range.content_hash
                         or stored.model is distinct from compare_1.model end
           and not exists (select from pgpipe.job job
                            where job.embedding_id = 1 and job.key = range.key)
    )
    select (select count(*) from range),
           (select range.key from range order by range.number desc limit 1),
           coalesce(array_agg(wrong.key order by wrong.number), '{}'),
           array_agg(wrong.part order by wrong.number), array_agg(wrong.place order by wrong.number)
      into examined, last, stale, parts, places from wrong;
end
$body$
