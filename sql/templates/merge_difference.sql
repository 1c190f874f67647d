-- The keys whose rows differ, and how. One join finds them, on several cores where it is large:
-- most of what it costs to load rows that are there is reading a wide target. A row that did not
-- change is never written: INSERT ... ON CONFLICT would compute the search column of every staged
-- row before it finds the conflict. The rows of the target are counted at the same moment.
create unlogged table {difference} as
select {keys},
       case {kinds}when {is_gone} then {lost}
            when {is_new} then 'insert'
            else 'update' end as change,
       null::bigint as held
  from {target} target
  {join} join {stage} staged on {same_key}
 where ({is_gone} or {is_new}
        or {differ}){still_gone}
{count_of_target}
