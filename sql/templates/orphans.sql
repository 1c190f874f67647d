-- Finds vectors of a range whose row is gone.
create or replace function pgpipe_target.orphans_{embedding}(after jsonb, last jsonb)
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
        select distinct {key_of_store}
          from {store} stored
         where (bounds.low is null or {store_is_after})
           and (bounds.high is null or {store_is_up_to})
           and not exists (select from {target} target where {same_key}));
end
$body$
