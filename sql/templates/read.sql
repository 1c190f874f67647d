-- Reads the texts of a batch, and what the store has of them already.
create or replace function pgpipe_target.read_{embedding}(
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
           and exists (select from {store} other
                        where other.content_hash = hashed.content_hash
                          and other.model = read_{embedding}.model and other.chunk = 0 offset 0)
      from unnest(batch) job
      left join lateral (
           select {input} as content
             from {target} target where {is_key_of_target} limit 1) input on true
     cross join lateral (
           select pgpipe_internal.content_hash(input.content) as content_hash offset 0) hashed
     cross join lateral (
           select exists (select from {store} stored
                           where {is_key_of_store} and stored.chunk = 0
                             and stored.content_hash = hashed.content_hash
                             and stored.model = read_{embedding}.model
                          offset 0) as fresh offset 0) known;
end
$body$
