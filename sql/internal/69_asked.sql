-- The log of questions: written by clients after their answers.

create or replace function pgpipe_internal.record_asked(records jsonb, days int)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    -- A table that is gone since leaves its questions behind.
    insert into pgpipe.asked (asked_at, target, mode, question, hash, hits, corrected,
                              milliseconds)
    select given.asked_at, given.target, given.mode, left(given.question, 2000),
           decode(given.hash, 'hex'), given.hits, given.corrected, given.milliseconds
      from jsonb_to_recordset(records)
               given (asked_at timestamptz, target oid, mode text, question text, hash text,
                      hits int, corrected text, milliseconds jsonb)
      join pg_catalog.pg_class class on class.oid = given.target;
    delete from pgpipe.asked old
     where old.asked_id in (select past.asked_id from pgpipe.asked past
                             where past.asked_at < now() - make_interval(days => days)
                             order by past.asked_at limit 1000);
end
$$;
comment on function pgpipe_internal.record_asked(jsonb, int) is
    'Writes questions, and deletes up to 1,000 that are older than so many days.';
