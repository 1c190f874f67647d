-- Jobs of all staged rows, hidden as those of a merge are.
insert into pgpipe.job as job (embedding_id, key, visible_at)
select {embedding}, {key}, {hidden_until}
  from {stage} staged
 order by 2
{again}
