-- Keys that are deleted get tombstones.
insert into pgpipe.tombstone (schema, entity, key, position, date)
select 'public', 'item', pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(staged.shop, null::integer), 'Item no', pgpipe_internal.of_type(staged."Item no", null::text)), pg_catalog.jsonb_build_object('price', pgpipe_internal.of_type(staged.price, null::numeric), 'title', pgpipe_internal.of_type(staged.title, null::text)), '2026-01-02'
  from pgpipe_staging.item staged
 where staged.pgpipe_deleted
