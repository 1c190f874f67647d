-- All staged rows, into a target that needs no key.
insert into public.item (shop, "Item no", title, price) overriding system value
select staged.shop, staged."Item no", staged.title, staged.price
  from pgpipe_staging.item staged
