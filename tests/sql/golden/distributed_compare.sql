-- Finds rows of a range whose stored vectors are not of their present text and model.
create or replace function pgpipe_target.compare_1(
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
        select pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(target.shop, null::integer), 'Item no', pgpipe_internal.of_type(target."Item no", null::text)) as key,
               case when not compare_1.is_blind
                    then pgpipe_internal.content_hash(case when exists (select from (select target.*) t where ((NOT sold)
)) and btrim(concat(target.title, target.body), E' \t\n\r') <> '' then btrim(concat_ws(E'\n', case when concat(target.title) <> '' then concat(target.title) end, case when concat(target.body) <> '' then concat(target.body) end), E' \t\n\r') end) end as content_hash,
               stored.content_hash as stored_hash, stored.model as stored_model
          from public.item target left join public.item_embedding stored on target.shop operator(pg_catalog.=) stored.shop and target."Item no" operator(pg_catalog.=) stored."Item no" and stored.chunk = 0
         where (bounds.low is null or (target.shop, target."Item no") operator(pg_catalog.>) ((bounds.low ->> 'shop')::integer, (bounds.low ->> 'Item no')::text))
         order by target.shop, target."Item no" limit compare_1.max_rows
    loop
        examined := examined + 1;
        last := range.key;
        if (case when is_blind then true
                 when range.content_hash is null then range.stored_hash is not null
                 else range.stored_hash is distinct from range.content_hash
                      or range.stored_model is distinct from model end)
           and not exists (select from pgpipe.job job
                            where job.embedding_id = 1 and job.key = range.key) then
            stale := array_append(stale, range.key);
        end if;
    end loop;
end
$body$
