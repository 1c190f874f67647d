-- Rows that say that a row is gone.
update {stage} changes
   set pgpipe_deleted = true
 where {condition}
