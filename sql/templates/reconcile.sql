-- Compares a range of rows with their vectors, and enqueues those that differ.
create or replace function pgpipe_target.reconcile_{embedding}(
    after jsonb, max_rows int, out examined bigint, out enqueued bigint, out skipped bigint,
    out last jsonb)  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $body$
declare
    e pgpipe.embedding;
    range_ record;
    is_blind boolean := false;
begin
    lock table only {target} in access share mode;  -- before the end no column of it changes
    e := pgpipe_internal.require_rendered({embedding}, {definition});
    loop
        begin  -- reads only
            select compared.* into range_
              from pgpipe_target.compare_{embedding}(after, max_rows, is_blind, e.model) compared;
            exit;
        exception when others or assert_failure then
            if is_blind or pgpipe_internal.is_passing(sqlstate) then raise; end if;
            is_blind := max_rows = 1;  -- the row whose text cannot be computed: its job says so
            max_rows := greatest(max_rows / 2, 1);
        end;
    end loop;
    examined := range_.examined;
    last := case when examined = max_rows then range_.last end;
    -- A row that somebody is changing is left to his trigger; the others cannot be changed until
    -- this is committed, so nobody who holds a job of one of them waits for us.
    with mine as materialized (
        select wanted.key
          from unnest(range_.stale, range_.parts, range_.places) wanted (key, part, place)
          join pgpipe_target.hold_rows_{embedding}(range_.parts, range_.places) held
            on held.part = wanted.part and held.place = wanted.place
    )
    select pgpipe_internal.enqueue_missing({embedding}, array(
               select mine.key from mine
                union select unnest(pgpipe_target.orphans_{embedding}(after, last))
                union select unnest(pgpipe_target.drop_directionless_{embedding}(after, last)))),
           cardinality(range_.stale) - (select count(*) from mine) into enqueued, skipped;
end
$body$
