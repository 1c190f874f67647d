-- Claims a batch: leases jobs, and reads what to embed for them.
create or replace function pgpipe_target.claim_1(
    max_jobs int, worker text, token uuid, lease interval default '5 minutes')
    returns table (key jsonb, gen bigint, attempts int, content text, content_hash bytea,
                   fresh boolean, twin boolean)
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
    set enable_mergejoin = off set jit = off
    language plpgsql
as $body$
declare
    e pgpipe.embedding;
    batch pgpipe_internal.batch_row[];
    failed boolean := false;
begin
    lock table only public.item in access share mode;  -- before the end no policy of it changes
    e := pgpipe_internal.require_rendered(1, '5cec394cc8c5029e175901a2e15a5902');
    while e.paused_at is null loop
        batch := pgpipe_internal.lease_jobs(1, max_jobs, worker, token, lease);
        exit when cardinality(batch) = 0;
        batch := pgpipe_internal.living_jobs(
            1, token, batch, pgpipe_target.unreadable_1(batch));
        begin  -- reads only: a write would take the id of a subtransaction
            return query select * from pgpipe_target.read_1(batch, e.model);
        exception when others or assert_failure then
            if pgpipe_internal.is_passing(sqlstate) then raise; end if;
            failed := true;  -- there may be a row whose text cannot be computed
        end;
        if failed then
            -- An error that is met without a row, too, is not of one: it is raised.
            perform from pgpipe_target.read_1('{}', e.model);
            return query select * from pgpipe_target.read_each_1(token, batch, e.model);
            failed := false;
        end if;
        exit when found;
    end loop;
end
$body$
