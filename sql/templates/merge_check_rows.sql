-- The staged rows that break a condition of the configuration, and three of their keys.
with staged as (
{staged}
){target}, broken as (
select pg_catalog.concat_ws(', ', {key}) as example
  from staged
 where not (
{check}
))
select (select pg_catalog.count(*) from broken),
       array(select pg_catalog.left(broken.example, 60)
               from broken order by broken.example limit 3)
