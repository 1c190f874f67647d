-- Versions that end with this load. A row that is new has one if it went unseen.
update {history} history
   set pgpipe_valid_to = $1, pgpipe_to_date = $2,
       pgpipe_ended = case difference.change when 'delete' then 'delete' else 'update' end
  from {difference} difference
 where history.pgpipe_valid_to is null
   and difference.change operator(pg_catalog.=) any ({changes})
   and {same_key}
