-- Versions that ended before the time that is kept: so many at a time, the oldest first.
delete from {history} history
 where history.ctid operator(pg_catalog.=) any (array(
       select held.ctid from {history} held
        where held.pgpipe_valid_to operator(pg_catalog.<) $1
        order by held.pgpipe_valid_to limit 1000000))
