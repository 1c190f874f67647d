-- Columns that a target has now get their staged values, in the rows where these differ.
update public.item target
   set (color) = row (staged.color)
  from pgpipe_staging.item staged
 where target.shop operator(pg_catalog.=) staged.shop and target."Item no" operator(pg_catalog.=) staged."Item no"
   and (row(target.color)::pg_catalog.record operator(pg_catalog.*<>) row(staged.color)::pg_catalog.record)
