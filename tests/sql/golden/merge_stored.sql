-- How many changes of a kind the target shows.
select count(*) from pgpipe_staging.pgpipe_difference_16384 difference
 where difference.change = 'delete'
   and not exists (select from public.item target
                 
                 where difference.key_1 operator(pg_catalog.=) target.shop and difference.key_2 operator(pg_catalog.=) target."Item no")
