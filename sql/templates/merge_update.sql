-- Rows that differ.
update {target} target
   set ({columns}) = row ({values})
  from {stage} staged
  join {difference} difference on {staged_key}
 where difference.change operator(pg_catalog.=) 'update'
   and {same_key}
