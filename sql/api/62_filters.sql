-- requires: vector
-- Columns that searches are often filtered by.

create or replace function pgpipe.enable_filters(
    target regclass, columns name[], embedding text default null)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    declared pgpipe.embedding := pgpipe_internal.require_embedding(target, embedding);
begin
    perform pgpipe_internal.refuse_distributed(
        target, 'a filter table', 'Leave `filters` out: searches are filtered without it.');
    if declared.filters @> columns and declared.filters <@ columns
       and declared.filter_error is null then
        return;
    end if;
    perform pgpipe_internal.require_filters(target, columns);
    -- Nothing may change between the copy and the triggers that keep it. The target first, as its
    -- writers do.
    execute format('lock table %s, %s in share row exclusive mode', target, declared.store);
    perform pgpipe.disable_filters(target, declared.name);
    if cardinality(columns) = 0 then
        return;
    end if;
    declared.filters := columns;
    declared.filter_table := pgpipe_internal.make_filter_table(declared);
    update pgpipe.embedding known
       set filters = declared.filters, filter_table = declared.filter_table
     where known.embedding_id = declared.embedding_id;
    perform pgpipe_internal.keep_filters(declared);
    perform pgpipe_internal.grant_target(target);
end
$$;
comment on function pgpipe.enable_filters(regclass, name[], text) is
    'Makes vector searches that are filtered by these columns fast. It keeps the columns, with '
    'the vectors, in a filter table, which triggers hold equal. It does so for the active '
    'embedding, or for the one named. If the columns change, the table is made again, while '
    'writers of the target wait (some 10 s for a million rows). Twice is a no-op. Raises PP002 '
    'for an unknown column, PP003 for one of an array type, PP008 without an embedding. '
    'Example: select pgpipe.enable_filters(''article'', ''{year,author}'')';

create or replace function pgpipe.disable_filters(target regclass, embedding text default null)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    declared pgpipe.embedding := pgpipe_internal.require_embedding(target, embedding);
begin
    if declared.filter_table is null then
        return;
    end if;
    update pgpipe.embedding known
       set filters = '{}', filter_table = null, filter_error = null
     where known.embedding_id = declared.embedding_id;
    execute format('drop trigger if exists pgpipe_filters_insert on %1$s; '
                   'drop trigger if exists pgpipe_filters_update on %1$s', declared.store);
    perform pgpipe_internal.drop_table(declared.filter_table);
    execute format('drop trigger if exists pgpipe_filters_%s on %s',
                   declared.embedding_id, target);
end
$$;
comment on function pgpipe.disable_filters(regclass, text) is
    'Drops the filter table of the active embedding, or of the one named. Filters work as before, '
    'only slower. Twice is a no-op. '
    'Example: select pgpipe.disable_filters(''article'')';
