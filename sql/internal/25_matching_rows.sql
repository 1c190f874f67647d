-- The rows that match a question: all of them, where a search ranks only the best.

create or replace function pgpipe_internal.matching_condition(
    target regclass, query text, filter jsonb, prefix boolean, fuzzy boolean)
    returns text  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    declared pgpipe.search;
    condition constant text := pgpipe_internal.search_condition(target, filter);
    asked record;
    words tsquery;
begin
    if query is null then
        return condition;
    end if;
    declared := pgpipe_internal.require_search(target);
    asked := pgpipe_internal.weigh_words(target, (pgpipe_internal.understand(
        target, pgpipe_internal.search_languages(target), query, prefix, fuzzy)).asked, prefix);
    words := pgpipe_internal.any_word(asked.probes);
    if words is null and asked.required is null then
        return 'false';  -- nothing but stop words
    end if;
    return format('row.%I @@ %L and %s', declared.column_name,
                  coalesce(words && asked.required, words, asked.required), condition);
end
$$;
comment on function pgpipe_internal.matching_condition(regclass, text, jsonb, boolean, boolean) is
    'SQL text: the row `row` holds a word of a question and all that is required, and passes a '
    'filter. '
    'Without a question (null) every row does that passes the filter.';

create or replace function pgpipe_internal.most_counted()
    returns int  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$ select 100000 $$;
comment on function pgpipe_internal.most_counted() is
    'So many rows are counted one by one. Of more, facets are counted in a sample.';

create or replace function pgpipe_internal.matching_facets(
    target regclass, facets text[], bounds jsonb[], condition text, k int,
    out counted jsonb, out exact boolean, out growth double precision)
    volatile  set search_path = pg_catalog, pg_temp
    set jit = off set work_mem = '64MB'  -- so that the bitmap of many rows keeps them apart
    language plpgsql
as $$
declare
    most constant int := pgpipe_internal.most_counted();
    wanted constant int := 20000;  -- rows of a sample: a tenth of them is counted to 2 %
    rows constant double precision := (pgpipe_internal.estimate(target, condition)).rows;
    share double precision := least(50, 100.0 * wanted / greatest(rows, most));  -- per cent
    seen bigint;
begin
    exact := true;
    growth := 1;
    if rows <= 2 * most then
        select made.* into seen, counted from pgpipe_internal.count_facets(
            target, facets, bounds, format('%s row', target), condition, k, most + 1, null) made;
        exact := seen <= most;
    end if;
    if rows > 2 * most or not exact then
        exact := false;
        growth := 100 / share;
        -- The same pages again: the same figures.
        select made.* into seen, counted from pgpipe_internal.count_facets(
            target, facets, bounds,
            format('%s row tablesample system (%s) repeatable (1)', target, share), condition, k,
            null, null) made;
    end if;
    if not exact and seen < wanted / 20 then  -- the estimate was wrong: there are few
        select made.* into seen, counted from pgpipe_internal.count_facets(
            target, facets, bounds, format('%s row', target), condition, k, most + 1, null) made;
        exact := seen <= most;
        growth := 1;
    end if;
end
$$;
comment on function pgpipe_internal.matching_facets(regclass, text[], jsonb[], text, int) is
    'Counts facets over the rows that pass a condition: over all of them, or over a sample if they '
    'are very many. Each row of it then stands for `growth` rows.';
