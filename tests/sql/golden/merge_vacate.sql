-- Rows give up their unique values for ones that nobody has, before other rows take them.
update public.item target
   set (title) = row (null)
  from (select difference.*, pg_catalog.row_number() over () as number
          from pgpipe_staging.difference difference
         where difference.change operator(pg_catalog.=) any ('{update}')) moving
  left join pgpipe_staging.item staged on moving.key_1 operator(pg_catalog.=) staged.shop and moving.key_2 operator(pg_catalog.=) staged."Item no"
 where moving.key_1 operator(pg_catalog.=) target.shop and moving.key_2 operator(pg_catalog.=) target."Item no"
   and (moving.change operator(pg_catalog.=) 'delete' or row(target.title)::pg_catalog.record operator(pg_catalog.*<>) row(staged.title)::pg_catalog.record)
