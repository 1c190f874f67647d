-- The staged rows that one CHECK refuses, as they would become in the target.
select candidate.pgpipe_part, candidate.pgpipe_number, 'item_price_check'::name, '{price}'::name[]
  from (select staged.pgpipe_part, staged.pgpipe_number, staged.shop as shop, staged."Item no" as "Item no", staged.title as title, target.price as price
          from pgpipe_staging.item staged
          left join public.item target on target.shop operator(pg_catalog.=) staged.shop and target."Item no" operator(pg_catalog.=) staged."Item no") candidate
 where not ((price > (0)::numeric))
