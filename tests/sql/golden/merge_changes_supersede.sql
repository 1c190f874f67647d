-- Of each key only the last change stays.
delete from pgpipe_staging.item staged
 using (select changes.ctid as place,
               pg_catalog.row_number() over (
                   partition by changes.shop, changes."Item no"
                   order by changes.price desc nulls last, changes.title collate pg_catalog."C" desc nulls last,  changes.pgpipe_part desc, changes.pgpipe_number desc) as number
          from pgpipe_staging.item changes) ranked
 where ranked.number operator(pg_catalog.>) 1
   and staged.ctid operator(pg_catalog.=) ranked.place
