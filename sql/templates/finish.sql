-- Finishes a batch: writes its vectors and acknowledges its jobs, both or neither.
create or replace function pgpipe_target.finish_{embedding}(
    token uuid, worker text, batch pgpipe_internal.batch_row[],
    passages pgpipe_internal.passage[], vectors anyarray)
    returns table (outcome text)
    volatile  set search_path = pg_catalog, pg_temp
    language plpgsql
as $body$
declare
    e pgpipe.embedding;
    has_twins boolean := (select bool_or(job.twin) from unnest(batch) job);
begin
    lock table only {target} in access share mode;  -- before the end no policy of it changes
    e := pgpipe_internal.require_rendered({embedding}, {definition});
    if has_twins then
        batch := pgpipe_target.find_twins_{embedding}(batch, e.model);
    end if;
    batch := pgpipe_target.settle_{embedding}(token, worker, batch);
    if has_twins then  -- before anything is deleted: a source may be of this batch
        perform pgpipe_target.copy_{embedding}(batch);
    end if;
    perform pgpipe_target.prune_{embedding}(batch, passages, e.model);
    if cardinality(vectors) > 0 then
        perform pgpipe_target.write_{embedding}(batch, passages, vectors, e.model);
    end if;
    return query select job.outcome from unnest(batch) with ordinality job order by job.ordinality;
end
$body$
