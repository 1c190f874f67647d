-- Deletes the vectors that a batch leaves behind or replaces, row by row: each on its server.
create or replace function pgpipe_target.prune_{embedding}(
    batch pgpipe_internal.batch_row[], passages pgpipe_internal.passage[], model text)
    returns void
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $body$
#variable_conflict use_column
declare
    {keys_of_batch}
    held jsonb[];
    job pgpipe_internal.batch_row;
begin
    with found as materialized (
        select distinct {key_of_store} as key from {store} stored where {store_is_of_batch}
    )
    select array_agg(found.key) into held from found;
    for job in
        select left_.* from unnest(batch) left_
         where left_.key = any (held)
           and (left_.outcome = 'gone' or left_.outcome = 'done' and not left_.fresh)
         order by left_.key
    loop
        delete from {store} stored where {is_key_of_store};
    end loop;
end
$body$
