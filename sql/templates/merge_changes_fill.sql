-- The rows of a new target.
insert into {target} ({columns})
select {values}
  from {stage} staged
 where staged.pgpipe_deleted is not true
