-- Claims a batch: leases jobs, and reads what to embed for them.
create or replace function pgpipe_target.claim_{embedding}(
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
    lock table only {target} in access share mode;  -- before the end no policy of it changes
    e := pgpipe_internal.require_rendered({embedding}, {definition});
    while e.paused_at is null loop
        batch := pgpipe_internal.lease_jobs({embedding}, max_jobs, worker, token, lease);
        exit when cardinality(batch) = 0;
        batch := pgpipe_internal.living_jobs({embedding}, token, batch,
            array(select {key_is_unreadable} from unnest(batch) job));
        begin  -- reads only: a write would take the id of a subtransaction
            return query select * from pgpipe_target.read_{embedding}(batch, e.model);
        exception when data_exception or integrity_constraint_violation
                or program_limit_exceeded or internal_error then
            failed := true;  -- there is a row whose text cannot be computed
        end;
        if failed then
            return query select * from pgpipe_target.read_each_{embedding}(token, batch, e.model);
            failed := false;
        end if;
        exit when found;
    end loop;
end
$body$
