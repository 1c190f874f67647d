-- Deletes vectors of a range that have no direction.
create or replace function pgpipe_target.drop_directionless_1(after jsonb, last jsonb)
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
        select distinct stored.content_hash from public.item_embedding stored
         where (bounds.low is null or (stored.shop, stored."Item no") operator(pg_catalog.>) ((bounds.low ->> 'shop')::integer, (bounds.low ->> 'Item no')::text))
           and (bounds.high is null or (stored.shop, stored."Item no") operator(pg_catalog.<=) ((bounds.high ->> 'shop')::integer, (bounds.high ->> 'Item no')::text))
           and (stored.vector operator(public.<=>) stored.vector) = 'NaN'
    )
    select array_agg(bad.content_hash) into hashes from bad;
    if hashes is not null then
        with held as materialized (
            select distinct pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(stored.shop, null::integer), 'Item no', pgpipe_internal.of_type(stored."Item no", null::text)) as key from public.item_embedding stored
             where stored.content_hash = any (bounds.hashes)
        )
        select array_agg(held.key) into keys from held;
        delete from public.item_embedding stored where stored.content_hash = any (bounds.hashes);
    end if;
    return coalesce(keys, '{}');
end
$body$
