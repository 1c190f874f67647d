-- Jobs of the rows that a load changes in what an embedding reads, hidden as well.
insert into pgpipe.job as job (embedding_id, key, visible_at)
select {embedding}, {key}, {hidden_until}
  from {difference} difference
  join {stage} staged on {staged_key}
  join {target} target on {same_key}
 where difference.change operator(pg_catalog.=) 'update'
   and {changed}
 order by 2
{again}
