-- Tombstones of the keys that have a newer change go.
delete from pgpipe.tombstone held
 using pgpipe_staging.item staged
 where held.schema operator(pg_catalog.=) 'public'
   and held.entity operator(pg_catalog.=) 'item'
   and staged.shop operator(pg_catalog.=) (held.key ->> 'shop')::integer and staged."Item no" operator(pg_catalog.=) (held.key ->> 'Item no')::text
