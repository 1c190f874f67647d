-- What a query of the configuration finds, and three values of its first column.
with staged as (
{staged}
){target}, broken as (
select pg_catalog.concat(found.example) as example
  from (
{check}
) found (example))
select (select pg_catalog.count(*) from broken),
       array(select pg_catalog.left(broken.example, 60) from broken limit 3)
