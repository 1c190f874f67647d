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
    e := pgpipe_internal.require_rendered({embedding}, {definition});
    perform pgpipe_internal.commit_together();
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
    skipped := 0;
    -- No row is locked: a load enqueues what it changes, in the order of the keys as here.
    enqueued := pgpipe_internal.enqueue_missing({embedding}, array(
        select wanted.key
          from (select unnest(range_.stale) as key
                 union select unnest(pgpipe_target.orphans_{embedding}(after, last))
                 union select unnest(pgpipe_target.drop_directionless_{embedding}(after, last))
               ) wanted
         order by wanted.key));
end
$body$
