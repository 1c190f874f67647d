-- Tombstones of the keys that have a newer change go.
delete from pgpipe.tombstone held
 using {stage} staged
 where held.schema operator(pg_catalog.=) {schema}
   and held.entity operator(pg_catalog.=) {entity}
   and {same_key}
