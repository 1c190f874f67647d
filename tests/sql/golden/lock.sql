-- Locks rows of the table against deletion, and says which of them it got.
create or replace function pgpipe_target.lock_1(parts oid[], places tid[])
    returns int[]
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
    set enable_mergejoin = off set jit = off
    language plpgsql
as $body$
#variable_conflict use_column
begin
    -- Where a row lies holds good until the end of the statement that called this: it has a
    -- snapshot, so vacuum leaves the row alone. A row that was changed since lies elsewhere.
    if has_any_column_privilege('public.item', 'update') then
        return array(
            select seen.ordinality
              from unnest(parts, places) with ordinality seen (part, place)
              join public.item target on target.ctid = seen.place and target.tableoid = seen.part
               for key share of target skip locked);
    end if;
    return array(
        select seen.ordinality
          from unnest(parts, places) with ordinality seen (part, place)
          join pgpipe_target.hold_keys_1(parts, places) held
            on held.part = seen.part and held.place = seen.place);
end
$body$
