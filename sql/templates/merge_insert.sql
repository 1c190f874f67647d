-- Rows that the target lacks.
insert into {target} as target ({columns}) overriding system value
select {values}
  from {stage} staged
  join {difference} difference on {staged_key}
 where difference.change operator(pg_catalog.=) 'insert'
