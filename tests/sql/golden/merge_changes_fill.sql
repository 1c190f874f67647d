-- The rows of a new target.
insert into pgpipe_staging.made (shop, "Item no", title, price)
select staged.shop, staged."Item no", staged.title, staged.price
  from pgpipe_staging.item staged
 where staged.pgpipe_deleted is not true
