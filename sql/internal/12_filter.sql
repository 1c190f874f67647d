-- Filters: JSON to the SQL of a condition, names and values quoted.
-- Also what the planner expects of such a condition.

create or replace function pgpipe_internal.filter_literal(name text, value jsonb, type oid)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    element oid := pgpipe_internal.element_type(type);
    number numeric;
begin
    if value is null or jsonb_typeof(value) = 'null' then
        raise exception 'filter on %: null cannot be compared', quote_ident(name)
            using errcode = 'PP003', hint = 'Write {"column": null} for rows without a value, '
                                            '{"column": {"ne": null}} for those with one.';
    elsif type in ('json'::regtype, 'jsonb'::regtype) then
        return format('%L::pg_catalog.jsonb', value);
    elsif jsonb_typeof(value) = 'array' and element is not null then
        return format('array[%s]::%s', (
            select string_agg(pgpipe_internal.filter_literal(name, item.content, element), ', '
                              order by item.n)
              from jsonb_array_elements(value) with ordinality item (content, n)),
            pg_catalog.format_type(type, -1));
    elsif jsonb_typeof(value) in ('array', 'object') then
        raise exception 'filter on %: % is not a single value', quote_ident(name), value
            using errcode = 'PP003', hint = 'Write {"column": value}, {"column": [one, of]} or '
                                            '{"column": {"gte": 1, "lt": 9}}.';
    elsif jsonb_typeof(value) = 'number'
          and type in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) then
        -- 1.0 is 1, and a bound may lie beyond the type or between two integers.
        number := value::text::numeric;
        return case when number = trunc(number) and abs(number) < 1e18
                    then format('%L::pg_catalog.int8', trunc(number))
                    else format('%L::pg_catalog.numeric', number) end;
    end if;
    perform pgpipe_internal.refuse_domain_filter(name, type);
    -- Without a length: a cast would cut the value.
    return format('%L::%s', value #>> '{}', pg_catalog.format_type(type, -1));
end
$$;
comment on function pgpipe_internal.filter_literal(text, jsonb, oid) is
    'SQL text: a value of a filter as a literal of the column''s type. Raises PP003 for null, and '
    'for a list or object in place of a value.';

create or replace function pgpipe_internal.refuse_domain_filter(name text, type oid)
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if pgpipe_internal.holds_domain(type) then
        raise exception
            'filter on %: its type % holds a domain, whose CHECK would run for each search',
            quote_ident(name), pg_catalog.format_type(type, -1) using errcode = 'PP003';
    end if;
end
$$;
comment on function pgpipe_internal.refuse_domain_filter(text, oid) is
    'Raises PP003 for a type with a domain inside.';

create or replace function pgpipe_internal.filter_operation(
    name text, a text, sign text, b text, type oid)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    operation text := pgpipe_internal.compare(type, a, sign, b);
begin
    if operation is null and b is not null then
        raise exception 'filter on %: values of type % have no %', quote_ident(name),
            pg_catalog.format_type(type, -1), case sign when '=' then 'equality' else 'order' end
            using errcode = 'PP003', hint = 'Such a column can be filtered by {"column": null} '
                                            'and {"column": {"ne": null}} only.';
    end if;
    return operation;
end
$$;
comment on function pgpipe_internal.filter_operation(text, text, text, text, oid) is
    'SQL text: `a` and `b` compared by the default operator class of their type. Null without a '
    '`b`. Raises PP003 if the type has none.';

create or replace function pgpipe_internal.filter_comparison(
    name text, value text, type oid, comparison text, wanted jsonb)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    element oid := pgpipe_internal.element_type(type);
    signs constant jsonb := '{"eq": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}';
begin
    case
    when comparison = 'ne' then
        return format('(%s) is not true',
                      pgpipe_internal.filter_comparison(name, value, type, 'eq', wanted));
    when comparison = 'null' and jsonb_typeof(wanted) = 'boolean' then
        return format('%s is %s null', value, case when wanted = 'true' then '' else 'not' end);
    when comparison = 'in' and jsonb_typeof(wanted) = 'array' then
        return pgpipe_internal.filter_choice(name, value, type, wanted);
    when comparison = 'eq' and jsonb_typeof(wanted) = 'null' then
        return format('%s is null', value);
    when comparison = 'eq' and element is not null and jsonb_typeof(wanted) <> 'array' then
        return pgpipe_internal.filter_operation(
            name, pgpipe_internal.filter_literal(name, wanted, element), '=',
            format('any (%s)', value), element);
    when signs ? comparison then
        return pgpipe_internal.filter_operation(
            name, value, signs ->> comparison,
            pgpipe_internal.filter_literal(name, wanted, type), type);
    when comparison = 'starts_with' and jsonb_typeof(wanted) = 'string' then
        return pgpipe_internal.filter_beginning(name, value, type, wanted #>> '{}');
    when comparison in ('null', 'in', 'starts_with') then
        raise exception 'filter on %: % takes %', quote_ident(name), quote_literal(comparison),
            case comparison when 'null' then 'true or false' when 'in' then 'a list'
                            else 'a text' end using errcode = 'PP003';
    else
        perform pgpipe_internal.refuse_comparison(name, comparison);
    end case;
end
$$;
comment on function pgpipe_internal.filter_comparison(text, text, oid, text, jsonb) is
    'SQL text: one comparison of a filter. A value is compared with an array''s elements, a list '
    'with the whole of it, by the default operator class of the type. Raises PP003 for another '
    'comparison, a value that does not fit it, or a type without such a class.';

create or replace function pgpipe_internal.filter_choice(
    name text, value text, type oid, wanted jsonb)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    literals text;
    operation text;
begin
    if pgpipe_internal.element_type(type) is not null then
        return coalesce((
            select string_agg(
                       pgpipe_internal.filter_comparison(name, value, type, 'eq', item.content),
                       ' or ')
              from jsonb_array_elements(wanted) item (content)), 'false');
    end if;
    select string_agg(pgpipe_internal.filter_literal(name, item.content, type), ', ') into literals
      from jsonb_array_elements(wanted) item (content) where item.content <> 'null';
    operation := pgpipe_internal.filter_operation(
        name, value, '=', 'any (array[' || literals || '])', type);
    if wanted @> '[null]' then
        return concat_ws(' or ', format('%s is null', value), operation);
    end if;
    return coalesce(operation, 'false');
end
$$;
comment on function pgpipe_internal.filter_choice(text, text, oid, jsonb) is
    'SQL text: a value is one of a list. The list may hold null; an empty list holds nothing.';

create or replace function pgpipe_internal.filter_condition(
    target regclass, alias text, filter jsonb)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    return case when filter is null or jsonb_typeof(filter) = 'null' then 'true'
                else pgpipe_internal.filter_all(target, alias, filter, 1) end;
end
$$;
comment on function pgpipe_internal.filter_condition(regclass, text, jsonb) is
    'SQL text of a filter over the row `alias`: {"column": value | null | [values] | '
    '{"eq"|"ne"|"lt"|"lte"|"gt"|"gte"|"starts_with": value, "in": [values], "null": true|false}, '
    '"or": [filters], "not": filter}, all of which must hold. A column of an array type is '
    'compared element by element; "column.name" is a value inside JSON. Names and values are '
    'quoted. Raises PP002 for an unknown column, PP003 for a filter of another shape.';

create or replace function pgpipe_internal.comparable_column(
    target regclass, alias text, name text, out expression text, out type oid)
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    element oid;
begin
    type := pgpipe_internal.base_type(pgpipe_internal.column_type_of(target, name));
    element := pgpipe_internal.element_type(type);
    expression := format('%s.%I', alias, name);
    if type = 'json'::regtype then
        type := 'jsonb'::regtype;
        expression := expression || '::pg_catalog.jsonb';
    elsif pgpipe_internal.base_type(element) <> element then  -- a value to compare is not checked
        type := (select known.typarray from pg_catalog.pg_type known
                  where known.oid = pgpipe_internal.base_type(element));
        expression := format('(%s)::%s', expression, pg_catalog.format_type(type, -1));
    end if;
end
$$;
comment on function pgpipe_internal.comparable_column(regclass, text, text) is
    'SQL text: a column of the row `alias`, of a type that can be compared, and that type. JSON '
    'becomes jsonb, an array of a domain one of the type below it.';

create or replace function pgpipe_internal.planned(plan json,
    out rows double precision, out cost double precision)
    immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Of a distributed table one part is shown, and how many parts there are.
    select (shown.plan ->> 'Plan Rows')::double precision * shown.parts,
           (shown.plan ->> 'Total Cost')::double precision * shown.parts
      from (select coalesce(plan #> '{0,Plan,Distributed Query,Job,Tasks,0,Remote Plan,0,0,Plan}',
                            plan #> '{0,Plan}') as plan,
                   coalesce((plan #>> '{0,Plan,Distributed Query,Job,Task Count}')::int, 1)
                   as parts) shown
$$;
comment on function pgpipe_internal.planned(json) is
    'How many rows a plan of EXPLAIN leaves, and what it costs. Of a distributed table it is the '
    'part that EXPLAIN shows, times the number of parts.';

create or replace function pgpipe_internal.estimate(target regclass, condition text,
    out rows double precision, out cost double precision)
    volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    plan json;
begin
    execute format('explain (format json) select from %s row where %s', target, condition)
       into plan;
    select planned.rows, planned.cost into rows, cost
      from pgpipe_internal.planned(plan) planned;
end
$$;
comment on function pgpipe_internal.estimate(regclass, text) is
    'How many rows (`row`) of a target the planner expects a condition (SQL text) to leave, and '
    'what finding them costs in its units. Volatile because EXPLAIN is refused elsewhere.';
