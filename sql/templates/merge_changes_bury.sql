-- Keys that are deleted get tombstones.
insert into pgpipe.tombstone (schema, entity, key, position, date)
select {schema}, {entity}, {key}, {position}, {date}
  from {stage} staged
 where staged.pgpipe_deleted
