-- Rows that differ, and rows that come back.
update {target} target
   set ({columns}) = row ({values})
  from {stage} staged
  join {difference} difference on {staged_key}
 where difference.change operator(pg_catalog.=) any ({changes})
   and {same_key}
