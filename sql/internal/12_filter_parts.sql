-- What a filter is put together from: columns, values inside JSON, alternatives and negations.

create or replace function pgpipe_internal.refuse_comparison(name text, comparison text)
    returns void  immutable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    raise exception 'filter on %: no comparison called %', quote_ident(name),
        quote_literal(comparison) using errcode = 'PP003',
        hint = 'There are eq, ne, lt, lte, gt, gte, in, null and starts_with.';
end
$$;
comment on function pgpipe_internal.refuse_comparison(text, text) is
    'Raises PP003 for a comparison that does not exist, and names those that do.';

create or replace function pgpipe_internal.filter_beginning(
    name text, value text, type oid, beginning text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if pgpipe_internal.is_text_array(type) then
        return format('exists (select from unnest(%s) element (value) '
                      'where element.value::pg_catalog.text ^@ %L)', value, beginning);
    elsif (select kind.typcategory = 'S' from pg_catalog.pg_type kind where kind.oid = type)
          and pgpipe_internal.is_trusted_type(type) then
        return format('%s::pg_catalog.text ^@ %L', value, beginning);
    end if;
    raise exception 'filter on %: values of type % are not text, so they start with nothing',
        quote_ident(name), pg_catalog.format_type(type, -1) using errcode = 'PP003';
end
$$;
comment on function pgpipe_internal.filter_beginning(text, text, oid, text) is
    'SQL text: a text, or an element of an array of texts, begins so. Raises PP003 for another '
    'type.';

create or replace function pgpipe_internal.filter_wanted(
    value jsonb, out comparison text, out wanted jsonb, out place bigint)
    returns setof record  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select each.key, each.value, each.place
      from jsonb_each(case jsonb_typeof(value) when 'object' then value end)
           with ordinality each (key, value, place)
    union all
    select case jsonb_typeof(value) when 'array' then 'in' else 'eq' end, value, 1
     where jsonb_typeof(value) <> 'object'
$$;
comment on function pgpipe_internal.filter_wanted(jsonb) is
    'The comparisons that a filter asks for: those of an object, `in` a list, or `eq`.';

create or replace function pgpipe_internal.name_parts(name text)
    returns text[]  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- As names of tables: a part with a dot in it stands in double quotes.
    select case when name ~ '^("([^"]|"")*"|[^."]+)(\.("([^"]|"")*"|[^."]+))+$' then array(
               select coalesce(part.hit[2], replace(part.hit[1], '""', '"'))
                 from regexp_matches(name, '"((?:[^"]|"")*)"|([^."]+)', 'g')
                      with ordinality part (hit, place) order by part.place) end
$$;
comment on function pgpipe_internal.name_parts(text) is
    'The parts of a name with dots in it; null if it has none.';

create or replace function pgpipe_internal.json_steps(parts text[])
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Lax, as a jsonpath is: of an array each element is meant.
    select '$' || string_agg('.' || to_jsonb(part.name)::text, '' order by part.place)
      from unnest(parts) with ordinality part (name, place)
$$;
comment on function pgpipe_internal.json_steps(text[]) is
    'A jsonpath to the value under these names.';

create or replace function pgpipe_internal.filter_json(
    name text, document text, parts text[], comparison text, wanted jsonb)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    path constant text := pgpipe_internal.json_steps(parts);
    signs constant jsonb := '{"eq": "==", "lt": "<", "lte": "<=", "gt": ">", "gte": ">=",
                              "starts_with": "starts with"}';
    kind constant text := jsonb_typeof(wanted);
    tested text;
begin
    case
    when comparison = 'ne' then
        return format('(%s) is not true',
                      pgpipe_internal.filter_json(name, document, parts, 'eq', wanted));
    when comparison = 'null' and kind = 'boolean' or comparison = 'eq' and kind = 'null' then
        return format('(%s @? %L) is %s true', document, path || ' ? (@ != null)',
                      case when wanted = 'false' then '' else 'not' end);
    when comparison = 'in' and kind = 'array' then
        return coalesce((
            select string_agg(pgpipe_internal.filter_json(name, document, parts, 'eq', item.value),
                              ' or ')
              from jsonb_array_elements(wanted) item), 'false');
    when comparison = 'eq' and kind in ('array', 'object') then
        return format('%s #> %L = %L::pg_catalog.jsonb', document, parts, wanted);
    when signs ? comparison and kind in ('string', 'number', 'boolean')
         and (comparison <> 'starts_with' or kind = 'string') then
        tested := format('%s ? (@ %s %s)', path, signs ->> comparison, wanted);
        return format('%s @? %L', document, tested);
    when signs ? comparison or comparison in ('null', 'in') then
        raise exception 'filter on %: % does not take %', quote_ident(name),
            quote_literal(comparison), wanted using errcode = 'PP003';
    else
        perform pgpipe_internal.refuse_comparison(name, comparison);
    end case;
end
$$;
comment on function pgpipe_internal.filter_json(text, text, text[], text, jsonb) is
    'SQL text: one comparison of the value under these names inside `document`, an expression of '
    'type jsonb. Numbers are compared with numbers, texts with texts. Of an array one element is '
    'enough. Raises PP003 as filter_comparison.';

create or replace function pgpipe_internal.filter_column(
    target regclass, alias text, name text, value jsonb)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    parts constant text[] := pgpipe_internal.name_parts(name);
    is_inside constant boolean := not pgpipe_internal.has_column(target, name)
                                  and pgpipe_internal.has_column(target, parts[1]);
    found record;
begin
    if not is_inside or parts is null then
        perform pgpipe_internal.require_columns(target, array[name]::name[]);
    end if;
    found := pgpipe_internal.comparable_column(
        target, alias, case when is_inside then parts[1] else name end);
    if is_inside and found.type <> 'jsonb'::regtype then
        raise exception 'filter on %: % is of type %, which holds no named values', name,
            quote_ident(parts[1]), pg_catalog.format_type(found.type, -1) using errcode = 'PP003';
    end if;
    return (
        select string_agg('(' || case when is_inside
                   then pgpipe_internal.filter_json(
                            name, found.expression, parts[2:], asked.comparison, asked.wanted)
                   else pgpipe_internal.filter_comparison(
                            name, found.expression, found.type, asked.comparison, asked.wanted) end
                   || ')', ' and ' order by asked.place)
          from pgpipe_internal.filter_wanted(value) asked);
end
$$;
comment on function pgpipe_internal.filter_column(regclass, text, text, jsonb) is
    'SQL text: what a filter asks of one column, or of one value inside a JSON column; null for '
    'nothing. Raises PP002 for a column that the target lacks.';

create or replace function pgpipe_internal.filter_all(
    target regclass, alias text, filter jsonb, depth int)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    parts text[] := '{}';
    asked record;
begin
    if jsonb_typeof(filter) <> 'object' then
        raise exception 'a filter is a JSON object, not %', jsonb_typeof(filter)
            using errcode = 'PP003', hint = 'Write {"column": value}, {"column": [one, of]} or '
                                            '{"column": {"gte": 1, "lt": 9}}.';
    elsif depth > 20 then
        raise exception 'a filter has at most 20 levels of "or" and "not"' using errcode = 'PP003';
    end if;
    for asked in select each.key, each.value from jsonb_each(filter) each loop
        parts := parts || case
            when asked.key not in ('or', 'not') or pgpipe_internal.has_column(target, asked.key)
                then pgpipe_internal.filter_column(target, alias, asked.key, asked.value)
            when asked.key = 'or'
                then pgpipe_internal.filter_any(target, alias, asked.value, depth + 1)
            else format('((%s) is not true)',
                        pgpipe_internal.filter_all(target, alias, asked.value, depth + 1)) end;
    end loop;
    return coalesce(nullif(array_to_string(parts, ' and '), ''), 'true');
end
$$;
comment on function pgpipe_internal.filter_all(regclass, text, jsonb, int) is
    'SQL text: all parts of a filter hold. A column that is called `or` or `not` is a column.';

create or replace function pgpipe_internal.filter_any(
    target regclass, alias text, filters jsonb, depth int)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if jsonb_typeof(filters) <> 'array' then
        raise exception '"or" takes a list of filters, not %', jsonb_typeof(filters)
            using errcode = 'PP003',
            hint = 'Write {"or": [{"brand": "x"}, {"price": {"lt": 20}}]}.';
    end if;
    return '(' || coalesce((
        select string_agg('(' || pgpipe_internal.filter_all(target, alias, item.filter, depth)
                          || ')', ' or ' order by item.place)
          from jsonb_array_elements(filters) with ordinality item (filter, place)), 'false') || ')';
end
$$;
comment on function pgpipe_internal.filter_any(regclass, text, jsonb, int) is
    'SQL text: one of a list of filters holds; an empty list never does.';

create or replace function pgpipe_internal.check_filter(target regclass, filter jsonb)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    perform pgpipe_internal.estimate(
        target, pgpipe_internal.filter_condition(target, 'row', filter));
end
$$;
comment on function pgpipe_internal.check_filter(regclass, jsonb) is
    'Raises what a search with this filter would raise, and reads no row. Clients call it before '
    'they load a model.';
