-- Rows give up their unique values for ones that nobody has, before other rows take them.
update {target} target
   set ({columns}) = row ({values})
  from (select difference.*, pg_catalog.row_number() over () as number
          from {difference} difference
         where difference.change operator(pg_catalog.=) any ({changes})) moving
  left join {stage} staged on {staged_key}
 where {same_key}
   and (moving.change operator(pg_catalog.=) 'delete' or {differ})
