-- Copies vectors to rows of equal text.
create or replace function pgpipe_target.copy_1(batch pgpipe_internal.batch_row[])
    returns void
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off
    set enable_mergejoin = off set jit = off
    language plpgsql
as $body$
#variable_conflict use_column
begin
    insert into public.item_embedding as stored (shop, "Item no", chunk, char_start, char_end,
                                   content_hash, model, vector)
    select (job.key ->> 'shop')::integer, (job.key ->> 'Item no')::text, other.chunk, other.char_start, other.char_end,
           other.content_hash, other.model, other.vector
      from unnest(batch) job
      join public.item_embedding source on source.ctid = job.source
      join public.item_embedding other on other.shop operator(pg_catalog.=) source.shop and other."Item no" operator(pg_catalog.=) source."Item no"
     where job.outcome = 'done'
     order by job.key, other.chunk
        on conflict (shop, "Item no", chunk) do update
       set char_start = excluded.char_start, char_end = excluded.char_end,
           content_hash = excluded.content_hash, model = excluded.model, vector = excluded.vector;
end
$body$
