-- Finds rows of a range whose stored vectors are not of their present text and model.
create or replace function pgpipe_target.compare_{embedding}(
    after jsonb, max_rows int, is_blind boolean, model text,
    out examined bigint, out last jsonb, out stale jsonb[], out parts oid[], out places tid[])
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $body$
#variable_conflict use_column
<<bounds>>
declare
    low jsonb := after;
    range record;
begin
    examined := 0;
    stale := '{}';
    -- In the order of the primary key. Blind, each row counts as another than the stored one.
    for range in
        select {key_of_target} as key,
               case when not compare_{embedding}.is_blind
                    then pgpipe_internal.content_hash({input}) end as content_hash,
               stored.content_hash as stored_hash, stored.model as stored_model
          from {target} target left join {store} stored on {same_key} and stored.chunk = 0
         where (bounds.low is null or {target_is_after}){and_live}
         order by {key_order} limit compare_{embedding}.max_rows
    loop
        examined := examined + 1;
        last := range.key;
        if (case when is_blind then true
                 when range.content_hash is null then range.stored_hash is not null
                 else range.stored_hash is distinct from range.content_hash
                      or range.stored_model is distinct from model end)
           and not exists (select from pgpipe.job job
                            where job.embedding_id = {embedding} and job.key = range.key) then
            stale := array_append(stale, range.key);
        end if;
    end loop;
end
$body$
