-- Rows that the load would delete stay, and say since when they are gone.
update public.item target
   set gone = pg_catalog.now()
  from public.item difference
 where difference.change operator(pg_catalog.=) 'delete'
   and difference.key_1 operator(pg_catalog.=) target.shop and difference.key_2 operator(pg_catalog.=) target."Item no"
