-- Changes of rows that were deleted later: they came late.
delete from pgpipe_staging.item staged
 using (select (held.key ->> 'shop')::integer as shop, (held.key ->> 'Item no')::text as "Item no", (held.position ->> 'price')::numeric as price, (held.position ->> 'title')::text as title from pgpipe.tombstone held
         where held.schema operator(pg_catalog.=) 'public'
           and held.entity operator(pg_catalog.=) 'item') tombstone
 where tombstone.shop operator(pg_catalog.=) staged.shop and tombstone."Item no" operator(pg_catalog.=) staged."Item no"
   and (tombstone.price is not null and (staged.price is null or staged.price operator(pg_catalog.<) tombstone.price) or staged.price is not distinct from tombstone.price and (tombstone.title collate pg_catalog."C" is not null and (staged.title collate pg_catalog."C" is null or staged.title collate pg_catalog."C" operator(pg_catalog.<) tombstone.title collate pg_catalog."C") or staged.title collate pg_catalog."C" is not distinct from tombstone.title collate pg_catalog."C" and staged.pgpipe_part operator(pg_catalog.<) 1))
