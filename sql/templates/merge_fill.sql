-- Columns that a target has now get their staged values, in the rows where these differ.
update {target} target
   set ({columns}) = row ({values})
  from {stage} staged
 where {same_key}
   and ({differ})
