-- Reads a batch row by row: a row whose text cannot be computed is charged, the others are read.
create or replace function pgpipe_target.read_each_1(
    token uuid, batch pgpipe_internal.batch_row[], model text)
    returns table (key jsonb, gen bigint, attempts int, content text, content_hash bytea,
                   fresh boolean, twin boolean)
    volatile  set search_path = pg_catalog, pg_temp
    language plpgsql
as $body$
declare
    job pgpipe_internal.batch_row;
    reason text;
begin
    foreach job in array batch loop
        reason := null;
        begin  -- reads only: a write would take the id of a subtransaction
            return query select * from pgpipe_target.read_1(array[job], model);
        exception when others or assert_failure then
            if pgpipe_internal.is_passing(sqlstate) then raise; end if;
            -- Without the values that a message quotes.
            reason := 'its text cannot be computed: '
                      || regexp_replace(sqlerrm, '["\u00ab\u201e].*["\u00bb\u201c]', '...');
        end;
        if reason is not null then
            perform pgpipe_internal.fail_jobs(
                1, token, array[job.key], array[job.gen], reason, true);
        end if;
    end loop;
end
$body$
