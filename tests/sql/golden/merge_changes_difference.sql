-- The keys whose rows differ, and how. One join finds them, on several cores where it is large:
-- most of what it costs to load rows that are there is reading a wide target. A row that did not
-- change is never written: INSERT ... ON CONFLICT would compute the search column of every staged
-- row before it finds the conflict. The rows of the target are counted at the same moment.
create unlogged table pgpipe_staging.pgpipe_difference_16384 as
select coalesce(staged.shop, target.shop) as key_1, coalesce(staged."Item no", target."Item no") as key_2,
       case when target.shop is null and staged.pgpipe_deleted then 'absent'
            when target.shop is not null and (target.price is not null and (staged.price is null or staged.price operator(pg_catalog.<) target.price) or staged.price is not distinct from target.price and (target.title collate pg_catalog."C" is not null and (staged.title collate pg_catalog."C" is null or staged.title collate pg_catalog."C" operator(pg_catalog.<) target.title collate pg_catalog."C") or staged.title collate pg_catalog."C" is not distinct from target.title collate pg_catalog."C" and staged.pgpipe_part operator(pg_catalog.<) 1)) then 'superseded'
            when staged.pgpipe_deleted then 'delete' when staged.shop is null then 'delete'
            when target.shop is null then 'insert'
            else 'update' end as change,
       null::bigint as held
  from public.item target
  right join pgpipe_staging.item staged on target.shop operator(pg_catalog.=) staged.shop and target."Item no" operator(pg_catalog.=) staged."Item no"
 where (staged.shop is null or target.shop is null
        or staged.pgpipe_deleted or row(target.title, pg_catalog.trim_scale(target.price))::pg_catalog.record operator(pg_catalog.*<>) row(staged.title, pg_catalog.trim_scale(staged.price))::pg_catalog.record)

