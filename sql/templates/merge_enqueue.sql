-- Jobs of the rows that a load inserts and deletes. They are hidden until the rows are there: those
-- lie on other servers, and are seen a moment later.
insert into pgpipe.job as job (embedding_id, key, visible_at)
select {embedding}, {key}, {hidden_until}
  from {difference} difference
 where difference.change operator(pg_catalog.=) any ('{insert,delete}')
 order by 2
{again}
