-- Deletes vectors of a range that have no direction.
create or replace function pgpipe_target.drop_directionless_{embedding}(after jsonb, last jsonb)
    returns jsonb[]
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $body$
#variable_conflict use_column
<<bounds>>
declare
    low jsonb := after;
    high jsonb := last;
    hashes bytea[];
    keys jsonb[];
begin
    -- Vectors of which no cosine is a number, and those of equal texts, which are equal.
    with bad as materialized (
        select distinct stored.content_hash from {store} stored
         where (bounds.low is null or {store_is_after})
           and (bounds.high is null or {store_is_up_to})
           and (stored.vector operator({vector_schema}.<=>) stored.vector) = 'NaN'
    )
    select array_agg(bad.content_hash) into hashes from bad;
    if hashes is not null then
        with held as materialized (
            select distinct {key_of_store} as key from {store} stored
             where stored.content_hash = any (bounds.hashes)
        )
        select array_agg(held.key) into keys from held;
        delete from {store} stored where stored.content_hash = any (bounds.hashes);
    end if;
    return coalesce(keys, '{}');
end
$body$
