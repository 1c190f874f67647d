-- Rhythm: how often an entity's dates come.

create or replace function pgpipe_internal.load_rhythm(schema text, entity text)
    returns interval  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    with loaded as (
        select distinct known.date from pgpipe.load known
         where known.schema = load_rhythm.schema and known.entity = load_rhythm.entity
           and known.finished_at is not null and known.error is null
         order by known.date desc limit 30
    ), gap as (
        select loaded.date - lag(loaded.date) over (order by loaded.date) as days from loaded
    )
    select make_interval(hours => (24 * percentile_cont(0.5) within group (order by gap.days))::int)
      from gap having count(gap.days) >= 2
$$;
comment on function pgpipe_internal.load_rhythm(text, text) is
    'The median gap between the last 30 dates of an entity that were loaded; null for fewer than '
    'three dates.';
