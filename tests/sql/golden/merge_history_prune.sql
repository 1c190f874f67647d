-- Versions that ended before the time that is kept: so many at a time, the oldest first. Younger
-- rows will lie there: a BRIN index that knew their ranges as old would lead to them for ever. So
-- it forgets these ranges, until VACUUM looks at them again.
with gone as (
    delete from public.item_history history
     where history.ctid operator(pg_catalog.=) any (array(
           select held.ctid from public.item_history held
            where held.pgpipe_valid_to operator(pg_catalog.<) $1
            order by held.pgpipe_valid_to limit 1000000))
    returning history.ctid as place
)
select pg_catalog.brin_desummarize_range(class.oid, range.start)
  from (select distinct (gone.place::text::point)[0]::bigint / 128 * 128 as start from gone) range
 cross join pg_catalog.pg_index index
  join pg_catalog.pg_class class on class.oid = index.indexrelid
  join pg_catalog.pg_am method on method.oid = class.relam and method.amname = 'brin'
 where index.indrelid = 'public.item_history'::pg_catalog.regclass
