-- Dates: which ones of the source an entity lacks.

create or replace function pgpipe_internal.dates_behind(
    seen date[], held date[], mode text, replaced date)
    returns date[]  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select coalesce(array_agg(day.date order by day.date), '{}')
      from unnest(seen) day (date),
           (select min(known.date) as oldest, max(known.date) as newest
              from unnest(held) known (date)) loaded
     where case when loaded.newest is null
                then day.date = (select max(latest.date) from unnest(seen) latest (date))
                when mode = 'snapshot' then day.date > greatest(loaded.newest, replaced)
                else day.date > loaded.oldest and day.date <> all (held) end
$$;
comment on function pgpipe_internal.dates_behind(date[], date[], text, date) is
    'Which of the dates that the source was seen to have are not loaded. A snapshot lacks those '
    'after the newest one it had, any other entity all since the first. Of an entity of which '
    'nothing is loaded it is the newest.';
