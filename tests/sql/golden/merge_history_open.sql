-- Versions that begin with this load: the rows as the target has them now.
insert into public.item_history (shop, "Item no", title, price, pgpipe_valid_from, pgpipe_from_date, pgpipe_began)
select target.shop, target."Item no", target.title, target.price, $1, $2,
       case difference.change when 'update' then 'update' else 'insert' end
  from public.item target
  join pgpipe_staging.pgpipe_history_16384 difference on difference.key_1 operator(pg_catalog.=) target.shop and difference.key_2 operator(pg_catalog.=) target."Item no"
 where difference.change operator(pg_catalog.=) any ('{insert,update,delete}')
   and difference.change operator(pg_catalog.<>) 'delete'
