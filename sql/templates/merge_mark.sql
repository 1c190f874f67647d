-- Rows that the load would delete stay, and say since when they are gone.
update {target} target
   set {deleted_column} = pg_catalog.now()
  from {difference} difference
 where difference.change operator(pg_catalog.=) 'delete'
   and {same_key}
