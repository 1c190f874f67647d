-- Rows that the target lacks.
insert into public.item as target (shop, "Item no", title, price) overriding system value
select staged.shop, staged."Item no", staged.title, staged.price
  from pgpipe_staging.item staged
  join pgpipe_staging.pgpipe_difference_16384 difference on difference.key_1 operator(pg_catalog.=) staged.shop and difference.key_2 operator(pg_catalog.=) staged."Item no"
 where difference.change operator(pg_catalog.=) 'insert'
