-- Versions that begin with this load: the rows as the target has them now.
insert into {history} ({columns}pgpipe_valid_from, pgpipe_from_date, pgpipe_began)
select {values}$1, $2,
       case difference.change when 'update' then 'update' else 'insert' end
  from {live_rows} target
  join {difference} difference on {same_key}
 where difference.change operator(pg_catalog.=) any ({changes})
   and difference.change operator(pg_catalog.<>) 'delete'
