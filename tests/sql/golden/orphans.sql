-- Finds vectors of a range whose row is gone.
create or replace function pgpipe_target.orphans_1(after jsonb, last jsonb)
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
begin
    return array(
        select distinct pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(stored.shop, null::integer), 'Item no', pgpipe_internal.of_type(stored."Item no", null::text))
          from public.item_embedding stored
         where (bounds.low is null or (stored.shop, stored."Item no") operator(pg_catalog.>) ((bounds.low ->> 'shop')::integer, (bounds.low ->> 'Item no')::text))
           and (bounds.high is null or (stored.shop, stored."Item no") operator(pg_catalog.<=) ((bounds.high ->> 'shop')::integer, (bounds.high ->> 'Item no')::text))
           and not exists (select from public.item target where target.shop operator(pg_catalog.=) stored.shop and target."Item no" operator(pg_catalog.=) stored."Item no"));
end
$body$
