-- Rows that say that a row is gone.
update pgpipe_staging.item changes
   set pgpipe_deleted = true
 where (title = 'D'
)
