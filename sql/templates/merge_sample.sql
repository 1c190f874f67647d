-- Some rows of a difference, with the values that differ.
with sample as (
select difference.*
  from {difference} difference
 where difference.change operator(pg_catalog.=) any ({changes})
 order by {keys} limit {max_rows}
)
select pg_catalog.json_build_object({key_values}), item.old, item.new
  from sample difference
  left join {target} target on {target_key}
  left join {stage} staged on {staged_key}
 cross join lateral (
       select pg_catalog.json_object_agg(value.name, value.old) as old,
              pg_catalog.json_object_agg(value.name, value.new) as new
         from (values (null::pg_catalog.text, null::pg_catalog.text, null::pg_catalog.text, false)
{values}
              ) value (name, old, new, differs)
        where value.differs) item
 order by {keys}
