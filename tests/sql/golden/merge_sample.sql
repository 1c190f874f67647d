-- Some rows of a difference, with the values that differ.
with sample as (
select difference.*
  from pgpipe_staging.pgpipe_difference_16384 difference
 where difference.change operator(pg_catalog.=) any ('{update}')
 order by difference.key_1, difference.key_2 limit 3
)
select pg_catalog.json_build_object('shop', pg_catalog.concat(difference.key_1), 'Item no', pg_catalog.concat(difference.key_2)), item.old, item.new
  from sample difference
  left join public.item target on difference.key_1 operator(pg_catalog.=) target.shop and difference.key_2 operator(pg_catalog.=) target."Item no"
  left join pgpipe_staging.item staged on difference.key_1 operator(pg_catalog.=) staged.shop and difference.key_2 operator(pg_catalog.=) staged."Item no"
 cross join lateral (
       select pg_catalog.json_object_agg(value.name, value.old) as old,
              pg_catalog.json_object_agg(value.name, value.new) as new
         from (values (null::pg_catalog.text, null::pg_catalog.text, null::pg_catalog.text, false)
, ('title', case when pg_catalog.num_nulls(target.title) operator(pg_catalog.=) 0 then pg_catalog.left(pg_catalog.concat(target.title), 200) end, case when pg_catalog.num_nulls(staged.title) operator(pg_catalog.=) 0 then pg_catalog.left(pg_catalog.concat(staged.title), 200) end, row(target.title)::pg_catalog.record operator(pg_catalog.*<>) row(staged.title)::pg_catalog.record)
, ('price', case when pg_catalog.num_nulls(target.price) operator(pg_catalog.=) 0 then pg_catalog.left(pg_catalog.concat(target.price), 200) end, case when pg_catalog.num_nulls(staged.price) operator(pg_catalog.=) 0 then pg_catalog.left(pg_catalog.concat(staged.price), 200) end, row(pg_catalog.trim_scale(target.price))::pg_catalog.record operator(pg_catalog.*<>) row(pg_catalog.trim_scale(staged.price))::pg_catalog.record)
              ) value (name, old, new, differs)
        where value.differs) item
 order by difference.key_1, difference.key_2
