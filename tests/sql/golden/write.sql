-- Writes the vectors of a batch.
create or replace function pgpipe_target.write_1(
    batch pgpipe_internal.batch_row[], passages pgpipe_internal.passage[],
    vectors anyarray, model text)
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
    select (job.key ->> 'shop')::integer, (job.key ->> 'Item no')::text, passage.chunk, passage.char_start, passage.char_end,
           job.content_hash, write_1.model, passage.vector
      from rows from (unnest(passages), unnest(vectors))
           passage (job, chunk, char_start, char_end, vector)
     cross join lateral (select (batch[passage.job]).key, (batch[passage.job]).content_hash,
                                (batch[passage.job]).outcome) job
     where job.outcome = 'done'
     order by job.key, passage.chunk
        on conflict (shop, "Item no", chunk) do update
       set char_start = excluded.char_start, char_end = excluded.char_end,
           content_hash = excluded.content_hash, model = excluded.model, vector = excluded.vector;
end
$body$
