-- Deletes vectors of a range that have no direction.
create or replace function pgpipe_target.drop_directionless_{embedding}(after jsonb, last jsonb)
    returns jsonb[]
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1 set plan_cache_mode = force_custom_plan
    language plpgsql
as $body$
#variable_conflict use_column
<<bounds>>
declare
    low jsonb := after;
    high jsonb := last;
    keys jsonb[];
begin
    -- Vectors of which no cosine is a number, and those of equal texts, which are equal: a row
    -- that is embedded again must find none to copy.
    with bad as materialized (
        select distinct stored.content_hash from {store} stored
         where (bounds.low is null or {store_is_after})
           and (bounds.high is null or {store_is_up_to})
           and (stored.vector operator({vector_schema}.<=>) stored.vector) = 'NaN'
    ), held as materialized (
        select stored.ctid as place from {store} stored
         where stored.content_hash in (select bad.content_hash from bad) for update skip locked
    ), dropped as (
        delete from {store} stored using held where stored.ctid = held.place
        returning {key_of_store} as key
    )
    select coalesce(array_agg(distinct dropped.key), '{}') into keys from dropped;
    return keys;
end
$body$
