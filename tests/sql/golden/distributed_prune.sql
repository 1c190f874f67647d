-- Deletes the vectors that a batch leaves behind or replaces, row by row: each on its server.
create or replace function pgpipe_target.prune_1(
    batch pgpipe_internal.batch_row[], passages pgpipe_internal.passage[], model text)
    returns void
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $body$
#variable_conflict use_column
declare
    key_1 integer[] := array(select distinct (job.key ->> 'shop')::integer from unnest(batch) job);
    key_2 text[] := array(select distinct (job.key ->> 'Item no')::text from unnest(batch) job);
    held jsonb[];
    job pgpipe_internal.batch_row;
begin
    with found as materialized (
        select distinct pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(stored.shop, null::integer), 'Item no', pgpipe_internal.of_type(stored."Item no", null::text)) as key from public.item_embedding stored where stored.shop = any (key_1) and stored."Item no" = any (key_2)
    )
    select array_agg(found.key) into held from found;
    for job in
        select left_.* from unnest(batch) left_
         where left_.key = any (held)
           and (left_.outcome = 'gone' or left_.outcome = 'done' and not left_.fresh)
         order by left_.key
    loop
        delete from public.item_embedding stored where stored.shop operator(pg_catalog.=) (job.key ->> 'shop')::integer and stored."Item no" operator(pg_catalog.=) (job.key ->> 'Item no')::text;
    end loop;
end
$body$
