-- Facets: how many of the rows that match hold each value of a column.

create or replace function pgpipe_internal.facet_bounds(
    columns jsonb, out facet text, out bounds jsonb, out place bigint)
    returns setof record  immutable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    return query
    select coalesce(range.key, item.value #>> '{}'), range.value, item.n
      from jsonb_array_elements(case jsonb_typeof(columns) when 'array' then columns
                                     else jsonb_build_array(columns) end)
           with ordinality item (value, n)
      left join lateral jsonb_each(case jsonb_typeof(item.value) when 'object' then item.value end)
           range on true;
    if exists (select from jsonb_array_elements(case jsonb_typeof(columns) when 'array' then columns
                                                     else jsonb_build_array(columns) end) item
                where jsonb_typeof(item.value) not in ('string', 'object')
                   or jsonb_typeof(item.value) = 'object' and exists (
                      select from jsonb_each(item.value) range
                       where jsonb_typeof(range.value) <> 'array'
                          or range.value = '[]' or range.value @> '[null]')) then
        raise exception 'facets are a list of columns, not %', columns using errcode = 'PP003',
            hint = 'Write ["brand", {"price": [10, 50]}]: the latter counts below 10, from 10 to '
                   'below 50, and from 50 on.';
    end if;
end
$$;
comment on function pgpipe_internal.facet_bounds(jsonb) is
    'The facets that are asked for, and the bounds of those that are ranges. Raises PP003 for a '
    'list of another shape.';

create or replace function pgpipe_internal.range_filters(
    facet text, bounds jsonb, out value text, out as_filter jsonb, out place bigint)
    returns setof record  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format('%s%s,%s)', case when part.low is null then '(' else '[' end,
                  part.low #>> '{}', part.high #>> '{}'),
           jsonb_build_object(facet, jsonb_strip_nulls(
               jsonb_build_object('gte', part.low, 'lt', part.high))), part.place
      from (select lag(bound.value) over (order by bound.n) as low, bound.value as high,
                   bound.n as place
              from (select item.value, item.n from jsonb_array_elements(bounds)
                           with ordinality item (value, n)
                    union all select null, jsonb_array_length(bounds) + 1) bound) part
$$;
comment on function pgpipe_internal.range_filters(text, jsonb) is
    'The ranges between bounds, each written as PostgreSQL writes a range, and as a filter.';

create or replace function pgpipe_internal.facet_expression(
    target regclass, facet text, bounds jsonb, out expression text, out kind text)
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    parts constant text[] := pgpipe_internal.name_parts(facet);
    found record;
begin
    if bounds is not null then
        kind := 'range';
        expression := (
            select format('case %s end', string_agg(
                       format('when %s then %s', pgpipe_internal.filter_condition(
                                                     target, 'row', part.as_filter), part.place),
                       ' ' order by part.place))
              from pgpipe_internal.range_filters(facet, bounds) part);
        return;
    end if;
    -- Refuses an unknown column, and one without named values inside, as a filter does.
    perform pgpipe_internal.filter_column(target, 'row', facet, '{"null": false}');
    if pgpipe_internal.has_column(target, facet) then
        found := pgpipe_internal.comparable_column(target, 'row', facet);
        kind := case when pgpipe_internal.element_type(found.type) is not null then 'array'
                     when found.type = 'jsonb'::regtype then 'json'
                     else 'value' end;
        expression := case kind
            when 'json' then format('jsonb_path_query_array(%s, ''$[*]'')', found.expression)
            when 'array' then found.expression
            else format('(%s)::text', pgpipe_internal.json_value(found.type, found.expression))
            end;
        return;
    end if;
    found := pgpipe_internal.comparable_column(target, 'row', parts[1]);
    kind := 'json';
    expression := format('jsonb_path_query_array(%s, %L)', found.expression,
                         pgpipe_internal.json_steps(parts[2:]) || '[*]');
end
$$;
comment on function pgpipe_internal.facet_expression(regclass, text, jsonb) is
    'SQL text: what is counted of a row `row`, and of which kind it is: a text, an array, a JSON '
    'array, or the number of a range. Raises PP002 and PP003 as filter_condition.';

create or replace function pgpipe_internal.facet_counts(
    facet text, bounds jsonb, kind text, place bigint)
    returns text  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select pgpipe_internal.fill(case kind
        when 'range' then $sql$
            (select {place} as place, {facet} as facet, part.value,
                    coalesce(counted.rows, 0) as rows, part.as_filter, part.place as n
               from pgpipe_internal.range_filters({facet}, {bounds}) part
               left join (select {column} as place, count(*) as rows from matching group by 1)
                    counted on counted.place = part.place)
            $sql$
        else $sql$
            (select {place}, {facet}, {text}, count(*),
                    jsonb_build_object({facet}, counted.value),
                    row_number() over (order by count(*) desc, {text} collate "C")
               from {values} counted (value) where {present}
              group by counted.value
              order by 4 desc, {text} collate "C" limit $2)
            $sql$ end, jsonb_build_object('place', place, 'facet', quote_literal(facet) || '::text')
        || case kind when 'range'
           then jsonb_build_object('column', 'f' || place, 'bounds', quote_literal(bounds))
           else jsonb_build_object(
               'text', case kind when 'json' then '(counted.value #>> ''{}'')'
                                 else 'counted.value' end,
               'present', case kind when 'json' then 'counted.value <> ''null'''
                                    else 'counted.value is not null' end,
               'values', format(case kind
                   when 'value' then '(select f%s from matching)'
                   when 'array'  -- its owner may have made a cast of the elements
                   then '(select each.value from matching cross join lateral (select distinct '
                        'pg_catalog.format(''%%s'', item.value) from unnest(f%s) item (value) '
                        'where item.value is distinct from null) each (value))'
                   -- One value is most rows' case, and needs no look for doubles.
                   else '(select f%1$s -> 0 from matching where jsonb_array_length(f%1$s) = 1 '
                        'union all select each.value from matching cross join lateral (select '
                        'distinct item from jsonb_array_elements(f%1$s) item) each (value) '
                        'where jsonb_array_length(f%1$s) > 1)' end, place)) end)
$$;
comment on function pgpipe_internal.facet_counts(text, jsonb, text, bigint) is
    'SQL text: the rows of `matching` by the value of its column f and `place`, the $2 values that '
    'most of them hold, or each range.';

create or replace function pgpipe_internal.count_facets(
    target regclass, facets text[], bounds jsonb[], source text, condition text, k int, most int,
    keys jsonb[], out seen bigint, out counted jsonb)
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    execute (
        select pgpipe_internal.fill($sql$
            with matching as materialized (
                select {columns} from {source} where {condition} limit $1
            )
            select (select count(*) from matching),
                   (select jsonb_agg(to_jsonb(counted) order by counted.place, counted.n)
                      from ({counts}) counted (place, facet, value, rows, as_filter, n))
            $sql$, jsonb_build_object(
                'columns', string_agg(format('%s as f%s', asked.expression, asked.n), ', '
                                      order by asked.n),
                'source', source, 'condition', condition,
                'counts', string_agg(pgpipe_internal.facet_counts(
                                         asked.facet, asked.bounds, asked.kind, asked.n),
                                     ' union all ' order by asked.n)))
          from (select part.*, expressed.*
                  from unnest(facets, bounds) with ordinality part (facet, bounds, n)
                 cross join lateral pgpipe_internal.facet_expression(
                       target, part.facet, part.bounds) expressed) asked)
       into seen, counted using most, k, keys;
end
$$;
comment on function pgpipe_internal.count_facets(
    regclass, text[], jsonb[], text, text, int, int, jsonb[]) is
    'How many rows of a source (SQL text, `row`) pass a condition, at most `most`, and how many of '
    'them hold each value of each facet. $3 are keys that the source may use.';
