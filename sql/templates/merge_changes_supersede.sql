-- Of each key only the last change stays.
delete from {stage} staged
 using (select changes.ctid as place,
               pg_catalog.row_number() over (
                   partition by {keys}
                   order by {order} changes.pgpipe_part desc, changes.pgpipe_number desc) as number
          from {stage} changes) ranked
 where ranked.number operator(pg_catalog.>) 1
   and staged.ctid operator(pg_catalog.=) ranked.place
