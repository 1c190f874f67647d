-- The staged rows that break a condition of the configuration, and three of their keys.
with staged as (
select staged.shop, staged."Item no", staged.title, target.price as price from pgpipe_staging.item staged left join public.item target on target.shop operator(pg_catalog.=) staged.shop and target."Item no" operator(pg_catalog.=) staged."Item no"
), item as not materialized (select * from public.item), broken as (
select pg_catalog.concat_ws(', ', staged.shop, staged."Item no") as example
  from staged
 where not (
price >= 0 -- or free
))
select (select pg_catalog.count(*) from broken),
       array(select pg_catalog.left(broken.example, 60)
               from broken order by broken.example limit 3)
