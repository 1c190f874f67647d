-- The keys whose rows differ from the versions that the history has of them now, and how.
create unlogged table pgpipe_staging.pgpipe_history_16384 as
select coalesce(target.shop, history.shop) as key_1, coalesce(target."Item no", history."Item no") as key_2,
       case when target.shop is null then 'delete'
            when history.shop is null then 'insert'
            else 'update' end as change
  from public.item target
  full join (select held.* from public.item_history held
              where held.pgpipe_valid_to is null) history on target.shop operator(pg_catalog.=) history.shop and target."Item no" operator(pg_catalog.=) history."Item no"
 where target.shop is null or history.shop is null
    or row(target.shop::integer, target."Item no"::text, target.title::text, target.price::numeric)::pg_catalog.record operator(pg_catalog.*<>) row(history.shop::integer, history."Item no"::text, history.title::text, history.price::numeric)::pg_catalog.record
