-- Keys that a table may hold and the queue may not: their rows are not embedded.

create or replace function pgpipe_internal.longest_key()
    returns int  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$ select 2680 $$;
comment on function pgpipe_internal.longest_key() is
    'The bytes of jsonb that a key may have for its row to be embedded. A larger one does not fit '
    'into the index of the queue, 2,704 bytes with what is around it. The table itself may hold '
    'it, and writing such a row must not fail.';

create or replace function pgpipe_internal.key_fits(target regclass, columns name[], alias text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Asked only of keys that may be long: the key is made a second time for it.
    select case when exists (
               select from pg_catalog.pg_attribute item
                where item.attrelid = target and item.attname = any (columns) and item.attlen = -1
                  and not (item.atttypid = any ('{varchar,bpchar}'::regtype[])
                           and item.atttypmod between 4 and longest.bytes / 8))
           then format('pg_catalog.pg_column_size(%s) <= %s',
                       pgpipe_internal.key_json(target, columns, alias), longest.bytes)
           else 'true' end
      from (select pgpipe_internal.longest_key() as bytes) longest
$$;
comment on function pgpipe_internal.key_fits(regclass, name[], text) is
    'SQL text: the key of the row `alias` is short enough for the queue.';
