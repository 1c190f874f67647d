-- Versions that end with this load. A row that is new has one if it went unseen.
update public.item_history history
   set pgpipe_valid_to = $1, pgpipe_to_date = $2,
       pgpipe_ended = case difference.change when 'delete' then 'delete' else 'update' end
  from pgpipe_staging.pgpipe_history_16384 difference
 where history.pgpipe_valid_to is null
   and difference.change operator(pg_catalog.=) any ('{insert,update,delete}')
   and difference.key_1 operator(pg_catalog.=) history.shop and difference.key_2 operator(pg_catalog.=) history."Item no"
