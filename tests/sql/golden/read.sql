-- Reads the texts of a batch, and what the store has of them already.
create or replace function pgpipe_target.read_1(
    batch pgpipe_internal.batch_row[], model text)
    returns table (key jsonb, gen bigint, attempts int, content text, content_hash bytea,
                   fresh boolean, twin boolean)
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
    set enable_mergejoin = off set jit = off
    language plpgsql
as $body$
#variable_conflict use_column
begin
    -- `offset 0` keeps each `exists` a look at an index. Else it may be turned into one reading of
    -- the whole store, for each batch, if the store has grown since it was last analyzed.
    return query
    select job.key, job.gen, job.attempts, input.content, hashed.content_hash, known.fresh,
           hashed.content_hash is not null and not known.fresh
           and exists (select from public.item_embedding other
                        where other.content_hash = hashed.content_hash
                          and other.model = read_1.model and other.chunk = 0 offset 0)
      from unnest(batch) job
      left join lateral (
           select case when exists (select from (select target.*) t where ((NOT sold)
)) and btrim(concat(target.title, target.body), E' \t\n\r') <> '' then btrim(concat_ws(E'\n', case when concat(target.title) <> '' then concat(target.title) end, case when concat(target.body) <> '' then concat(target.body) end), E' \t\n\r') end as content
             from public.item target where target.shop operator(pg_catalog.=) (job.key ->> 'shop')::integer and target."Item no" operator(pg_catalog.=) (job.key ->> 'Item no')::text limit 1) input on true
     cross join lateral (
           select pgpipe_internal.content_hash(input.content) as content_hash offset 0) hashed
     cross join lateral (
           select exists (select from public.item_embedding stored
                           where stored.shop operator(pg_catalog.=) (job.key ->> 'shop')::integer and stored."Item no" operator(pg_catalog.=) (job.key ->> 'Item no')::text and stored.chunk = 0
                             and stored.content_hash = hashed.content_hash
                             and stored.model = read_1.model
                          offset 0) as fresh offset 0) known;
end
$body$
