-- The keys whose rows differ from the versions that the history has of them now, and how.
create unlogged table {difference} as
select {keys},
       case when {is_gone} then 'delete'
            when {is_new} then 'insert'
            else 'update' end as change
  from {live_rows} target
  full join (select held.* from {history} held
              where held.pgpipe_valid_to is null) history on {same_key}
 where {is_gone} or {is_new}
    or {differ}
