-- What a query of the configuration finds, and three values of its first column.
with staged as (
select staged.shop, staged."Item no", staged.title, target.price as price from pgpipe_staging.item staged left join public.item target on target.shop operator(pg_catalog.=) staged.shop and target."Item no" operator(pg_catalog.=) staged."Item no"
), item as not materialized (select * from public.item), broken as (
select pg_catalog.concat(found.example) as example
  from (
select shop from staged group by shop
) found (example))
select (select pg_catalog.count(*) from broken),
       array(select pg_catalog.left(broken.example, 60) from broken limit 3)
