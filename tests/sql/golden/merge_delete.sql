-- Rows that the snapshot lacks.
delete from public.item target
 using pgpipe_staging.pgpipe_difference_16384 difference
 where difference.change operator(pg_catalog.=) 'delete'
   and difference.key_1 operator(pg_catalog.=) target.shop and difference.key_2 operator(pg_catalog.=) target."Item no"
