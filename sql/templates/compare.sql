-- Finds rows of a range whose stored vectors are not of their present text and model.
create or replace function pgpipe_target.compare_{embedding}(
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
        select {key_of_target} as key,
               case when not compare_{embedding}.is_blind
                    then pgpipe_internal.content_hash({input}) end as content_hash,
               row_number() over (order by {key_order}) as number,
               target.tableoid as part, target.ctid as place, {numbered_key}
          from {target} target
         where (bounds.low is null or {target_is_after}){and_live}
         order by {key_order} limit compare_{embedding}.max_rows
    ), wrong as (
        select range.key, range.part, range.place, range.number
          from range left join {store} stored on {is_numbered_key_of_store} and stored.chunk = 0
         where case when compare_{embedding}.is_blind then true
                    when range.content_hash is null then stored.content_hash is not null
                    else stored.content_hash is distinct from range.content_hash
                         or stored.model is distinct from compare_{embedding}.model end
           and not exists (select from pgpipe.job job
                            where job.embedding_id = {embedding} and job.key = range.key)
    )
    select (select count(*) from range),
           (select range.key from range order by range.number desc limit 1),
           coalesce(array_agg(wrong.key order by wrong.number), '{}'),
           array_agg(wrong.part order by wrong.number), array_agg(wrong.place order by wrong.number)
      into examined, last, stale, parts, places from wrong;
end
$body$
