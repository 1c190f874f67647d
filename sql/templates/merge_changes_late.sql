-- Changes of rows that were deleted later: they came late.
delete from {stage} staged
 using (select {values} from pgpipe.tombstone held
         where held.schema operator(pg_catalog.=) {schema}
           and held.entity operator(pg_catalog.=) {entity}) tombstone
 where {same_key}
   and {older}
