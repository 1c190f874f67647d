-- Facets and totals: what a page shows next to the hits.

create or replace function pgpipe.facets(
    target regclass, query text, columns jsonb, filter jsonb default null, k int default 10,
    prefix boolean default false, fuzzy boolean default true)
    returns table (facet text, value text, "rows" bigint, exact boolean, as_filter jsonb)
    volatile rows 50
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    part record;
    made record;
begin
    perform pgpipe_internal.require_page(k, 0);
    -- A facet's own filter does not narrow it: those that are in the filter are counted each by
    -- itself, the others together.
    for part in
        select array_agg(asked.facet order by asked.place) as facets,
               array_agg(asked.bounds order by asked.place) as bounds,
               filter - asked.own as condition
          from (select known.*, case when filter ? known.facet then known.facet else '' end as own
                  from pgpipe_internal.facet_bounds(columns) known) asked
         group by asked.own order by min(asked.place)
    loop
        made := pgpipe_internal.matching_facets(
            target, part.facets, part.bounds, pgpipe_internal.matching_condition(
                target, query, part.condition, prefix, fuzzy), k);
        return query
        select each.facet, each.value, round(each.rows * made.growth)::bigint, made.exact,
               each.as_filter
          from jsonb_to_recordset(made.counted)
               each (facet text, value text, rows bigint, as_filter jsonb);
    end loop;
end
$$;
comment on function pgpipe.facets(regclass, text, jsonb, jsonb, int, boolean, boolean) is
    'How many of the rows that match a question hold each value of these columns: the k values '
    'that most rows hold, or ranges. `columns` is a list such as ["brand", "data.colour", '
    '{"price": [10, 50]}]. Without a question (null) all rows match. A filter on a facet''s own '
    'column does not narrow it. `as_filter` is the filter that chooses the value. Up to 100,000 '
    'rows are counted; if more match, a sample is, and `exact` is false. '
    'Example: select facet, value, rows from pgpipe.facets(''article'', ''compress'', '
    '''["author", {"year": [2010, 2020]}]'')';

create or replace function pgpipe.total(
    target regclass, query text, filter jsonb default null, prefix boolean default false,
    fuzzy boolean default true, out "rows" bigint, out exact boolean)
    volatile  set search_path = pg_catalog, pg_temp set jit = off set work_mem = '64MB'
    language plpgsql
as $$
declare
    most constant int := pgpipe_internal.most_counted();
begin
    execute format('select count(*) from (select 1 from %s row where %s limit %s) matching', target,
                   pgpipe_internal.matching_condition(target, query, filter, prefix, fuzzy),
                   most + 1) into rows;
    exact := rows <= most;
    rows := least(rows, most);
end
$$;
comment on function pgpipe.total(regclass, text, jsonb, boolean, boolean) is
    'How many rows match a question, counted up to 100,000. If `exact` is false, there are more. '
    'Without a question (null) all rows match that pass the filter. '
    'Example: select rows, exact from pgpipe.total(''article'', ''compress'')';
