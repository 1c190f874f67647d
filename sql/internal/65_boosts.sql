-- Boosts and orders: a list of answers arranged by columns of its rows.

create or replace function pgpipe_internal.pool(options jsonb, wanted int, usual int)
    returns int  immutable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if not options ?| array['boost', 'order_by'] then
        return wanted;
    elsif (options ->> 'candidates')::numeric not between 1 and 10000 then
        raise exception 'option ''candidates'' is a number from 1 to 10000, not %',
            options ->> 'candidates' using errcode = 'PP003';
    end if;
    return coalesce((options ->> 'candidates')::int, usual);
end
$$;
comment on function pgpipe_internal.pool(jsonb, int, int) is
    'How long a list must be: `wanted` if nothing arranges it, else as many candidates as the '
    'options say, or the usual number.';

create or replace function pgpipe_internal.boost_weight(name text, boost jsonb)
    returns float8  immutable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    weight float8;
begin
    if jsonb_typeof(boost) = 'object' and jsonb_typeof(boost -> 'log') = 'number'
       and boost - 'log' = '{}' then
        weight := boost ->> 'log';
    elsif jsonb_typeof(boost) = 'object' and jsonb_typeof(boost -> 'weight') = 'number'
          and boost - 'weight' - 'half_life' = '{}' then
        weight := boost ->> 'weight';
    end if;
    if (weight between -1000 and 1000) is not true then
        raise exception 'boost of %: % is not valid', quote_ident(name), boost
            using errcode = 'PP003', hint = 'Write {"log": 0.3} or {"weight": 0.2} for a number, '
                '{"half_life": "30 days", "weight": 0.2} for a date; weights from -1000 to 1000.';
    end if;
    return weight;
end
$$;
comment on function pgpipe_internal.boost_weight(text, jsonb) is
    'The weight of a boost. Raises PP003 for a boost of another shape.';

create or replace function pgpipe_internal.boost_expression(
    target regclass, name text, boost jsonb, alias text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    value constant text := format('%s.%I', alias, name);
    weight constant float8 := pgpipe_internal.boost_weight(name, boost);
    type regtype;
begin
    perform pgpipe_internal.require_columns(target, array[name]::name[]);
    type := pgpipe_internal.base_type(pgpipe_internal.column_type_of(target, name));
    case
    when boost ? 'half_life' and type in ('date', 'timestamp', 'timestamptz') then
        return pgpipe_internal.half_life_expression(name, value, boost ->> 'half_life', weight);
    when boost = jsonb_build_object('weight', boost -> 'weight') and type = 'boolean'::regtype then
        return format('(case when %s then %s else 0 end)', value, weight);
    when not boost ? 'half_life'
         and type in ('int2', 'int4', 'int8', 'float4', 'float8', 'numeric') then
        -- What is not a finite number adds nothing.
        return format('(case when %1$s between %2$s and 1e300 then %3$s * %4$s else 0 end)', value,
                      case when boost ? 'log' then '0' else '-1e300' end, weight,
                      format(case when boost ? 'log' then 'log(1 + %s::float8)'
                                  else '%s::float8' end, value));
    else
        raise exception 'boost of %: its type % does not fit %', quote_ident(name), type, boost
            using errcode = 'PP003',
            hint = '"log" takes numbers, "half_life" dates and times, "weight" alone numbers and '
                   'booleans.';
    end case;
end
$$;
comment on function pgpipe_internal.boost_expression(regclass, text, jsonb, text) is
    'SQL text: what a column of the row `alias` adds to the score, as a share of it. Raises PP002 '
    'for a column that the target lacks, PP003 for a boost that does not exist or does not fit.';

create or replace function pgpipe_internal.half_life_expression(
    name text, value text, half_life text, weight float8)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    seconds float8;
begin
    begin
        seconds := extract(epoch from half_life::interval);
    exception when data_exception then
        seconds := null;
    end;
    if (seconds between 1 and 1e12) is not true then
        raise exception 'boost of %: % is not an interval above a second', quote_ident(name),
            quote_literal(half_life) using errcode = 'PP003',
            hint = 'Write "30 days" or "6 hours".';
    end if;
    return format('(case when isfinite(%1$s) then %2$s * power(0.5::float8, least(1000, '
                  'greatest(0, (extract(epoch from now()) - extract(epoch from %1$s))::float8 '
                  '/ %3$s))) else 0 end)', value, weight, seconds);
end
$$;
comment on function pgpipe_internal.half_life_expression(text, text, text, float8) is
    'SQL text: the weight of a boost now, half of it for what is so old, a quarter for what is '
    'twice as old.';

create or replace function pgpipe_internal.hit_order(
    target regclass, order_by jsonb, out name text, out direction text, out place bigint)
    returns setof record  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    type oid;
begin
    if order_by is null then
        return;
    end if;
    for name, direction, place in
        select case jsonb_typeof(part.value) when 'string' then part.value #>> '{}'
                    else each.key end,
               case jsonb_typeof(part.value) when 'string' then 'asc' else each.value end,
               part.place
          from jsonb_array_elements(case jsonb_typeof(order_by) when 'array' then order_by
                                    else jsonb_build_array(order_by) end)
               with ordinality part (value, place)
          left join lateral jsonb_each_text(
                   case jsonb_typeof(part.value) when 'object' then part.value end) each on true
    loop
        if coalesce(lower(direction), '') not in ('asc', 'desc') or name is null then
            raise exception 'option ''order_by'' does not take %', order_by using errcode = 'PP003',
                hint = 'Write "price", {"price": "desc"}, or a list of these.';
        end if;
        perform pgpipe_internal.require_columns(target, array[name]::name[]);
        type := pgpipe_internal.column_type_of(target, name);
        if not pgpipe_internal.is_trusted_type(type)
           or (pgpipe_internal.type_operator(type, '<')).operator is null then
            raise exception 'values of % have no order: they are of type %', quote_ident(name),
                pg_catalog.format_type(type, -1) using errcode = 'PP003';
        end if;
        return next;
    end loop;
end
$$;
comment on function pgpipe_internal.hit_order(regclass, jsonb) is
    'The columns of an order, and whether each rises or falls. Raises PP002 for a column that the '
    'target lacks, PP003 for another shape, or a type without an order of PostgreSQL''s own.';

create or replace function pgpipe_internal.arrange_hits(
    target regclass, key_columns name[], hits pgpipe_internal.listed[], options jsonb)
    returns pgpipe_internal.listed[]
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    boosts text;
    orders text;
begin
    if not options ?| array['boost', 'order_by'] then
        return hits;
    end if;
    select string_agg(format('(%L, %s)', each.key, pgpipe_internal.boost_expression(
                                 target, each.key, each.value, 'row')), ', ')
      into boosts from jsonb_each(options -> 'boost') each;
    select string_agg(format('row.%I %s nulls last, ', part.name, part.direction), ''
                      order by part.place)
      into orders from pgpipe_internal.hit_order(target, options -> 'order_by') part;
    execute pgpipe_internal.fill($sql$
        select array_agg(row(hit.key, boosted.score, hit.text_score, hit.text_rank, hit.text_share,
                             hit.vector_score, hit.vector_rank, hit.vector_share, hit.content_hash,
                             hit.char_start, hit.char_end, added.boosts)::pgpipe_internal.listed
                         order by {orders}boosted.score desc, hit.key)
          from unnest($1) hit join {target} row on {same_row}
         cross join lateral (
               select jsonb_object_agg(boost.name, boost.added) as boosts,
                      coalesce(sum(boost.added), 0) as total
                 from (values {boosts}) boost (name, added) where boost.name is not null) added
         cross join lateral (
               select hit.score + abs(hit.score) * greatest(-1, added.total) as score) boosted
        $sql$, jsonb_build_object(
            'target', target, 'orders', coalesce(orders, ''),
            'boosts', coalesce(boosts, '(null::text, null::float8)'),
            'same_row', pgpipe_internal.key_match(target, key_columns, 'row', 'hit.key')))
       into hits using hits;
    return coalesce(hits, '{}');
end
$$;
comment on function pgpipe_internal.arrange_hits(
    regclass, name[], pgpipe_internal.listed[], jsonb) is
    'A list by its boosted scores, or by columns of its rows. Without either it is as it was. Runs '
    'as the caller: a column that he may not read is refused.';
