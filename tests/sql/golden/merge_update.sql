-- Rows that differ, and rows that come back.
update public.item target
   set (title, price) = row (staged.title, staged.price)
  from pgpipe_staging.item staged
  join pgpipe_staging.pgpipe_difference_16384 difference on difference.key_1 operator(pg_catalog.=) staged.shop and difference.key_2 operator(pg_catalog.=) staged."Item no"
 where difference.change operator(pg_catalog.=) any ('{update}')
   and difference.key_1 operator(pg_catalog.=) target.shop and difference.key_2 operator(pg_catalog.=) target."Item no"
