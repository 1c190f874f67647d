-- How many changes of a kind the target shows.
select count(*) from pgpipe_staging.pgpipe_difference_16384 difference
 where difference.change = 'update'
   and exists (select from public.item target
                 join pgpipe_staging.item staged on difference.key_1 operator(pg_catalog.=) staged.shop and difference.key_2 operator(pg_catalog.=) staged."Item no" and not (row(target.shop, target."Item no", target.title, pg_catalog.trim_scale(target.price))::pg_catalog.record operator(pg_catalog.*<>) row(staged.shop, staged."Item no", staged.title, pg_catalog.trim_scale(staged.price))::pg_catalog.record)
                 where difference.key_1 operator(pg_catalog.=) target.shop and difference.key_2 operator(pg_catalog.=) target."Item no")
