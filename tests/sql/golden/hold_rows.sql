-- Locks rows against change by their place, for a worker that may not write the table.
create or replace function pgpipe_target.hold_rows_1(parts oid[], places tid[])
    returns table (part oid, place tid)
    volatile  security definer  set search_path = pg_catalog, pg_temp
    set enable_seqscan = off set jit = off
    language plpgsql
as $body$
begin
    perform pgpipe_internal.require_lockable(1, '5cec394cc8c5029e175901a2e15a5902');
    return query
    select target.tableoid, target.ctid
      from unnest(parts, places) wanted (part, place)
      join public.item target on target.ctid = wanted.place and target.tableoid = wanted.part
       for share of target skip locked;
end
$body$
