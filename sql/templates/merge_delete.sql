-- Rows that the snapshot lacks.
delete from {target} target
 using {difference} difference
 where difference.change operator(pg_catalog.=) 'delete'
   and {same_key}
