-- How many changes of a kind the target shows.
select count(*) from {difference} difference
 where difference.change = {change}
   and {shown} (select from {live_rows} target
                 {join}
                 where {same_key})
