-- The staged rows that one CHECK refuses, as they would become in the target.
select candidate.pgpipe_part, candidate.pgpipe_number, {rule}::name, {of_columns}::name[]
  from (select staged.pgpipe_part, staged.pgpipe_number, {row}
          from {stage} staged
          {join}) candidate
 where not ({condition})
