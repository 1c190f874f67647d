-- Copies vectors to rows of equal text.
create or replace function pgpipe_target.copy_{embedding}(batch pgpipe_internal.batch_row[])
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
    insert into {store} as stored ({key_columns}, chunk, char_start, char_end,
                                   content_hash, model, vector)
    select {key_values}, other.chunk, other.char_start, other.char_end,
           other.content_hash, other.model, other.vector
      from unnest(batch) job
      join {store} source on source.ctid = job.source
      join {store} other on {is_key_of_source}
     where job.outcome = 'done'
     order by job.key, other.chunk
        on conflict ({key_columns}, chunk) do update
       set char_start = excluded.char_start, char_end = excluded.char_end,
           content_hash = excluded.content_hash, model = excluded.model, vector = excluded.vector;
end
$body$
