-- Targets: which columns identify a row, and how a row's key travels as jsonb.
-- A function that turns values into a key, or into what a model reads, pins every setting that
-- their text depends on: the trigger in a user's session and the worker in its own must name the
-- same row by the same key, and read the same text.

create or replace function pgpipe_internal.derived_name(base text, suffix text)
    returns name  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A cut name alone could meet another table's; eight digits of a hash keep the two apart.
    -- A character takes up to 4 bytes.
    select case when octet_length(base || suffix) <= 63 then base || suffix
                else left(base, (54 - octet_length(suffix)) / 4) || '_' || left(md5(base), 8)
                     || suffix end::name
$$;
comment on function pgpipe_internal.derived_name(text, text) is
    'The name base || suffix. If it is longer than the 63 bytes of a name, a hash of the base '
    'shortens it.';

create or replace function pgpipe_internal.key_columns(target regclass)
    returns name[]  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select array_agg(item.attname order by part.place)
      from pg_catalog.pg_index index
     cross join lateral unnest(index.indkey::int2[]) with ordinality part (attnum, place)
      join pg_catalog.pg_attribute item
        on item.attrelid = index.indrelid and item.attnum = part.attnum
     where index.indrelid = key_columns.target and index.indisprimary
       and part.place <= index.indnkeyatts  -- not the INCLUDE columns
$$;
comment on function pgpipe_internal.key_columns(regclass) is
    'The columns of the primary key, in its order; null where there is none.';

create or replace function pgpipe_internal.has_column(target regclass, column_name name)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select exists (select from pg_catalog.pg_attribute item
                    where item.attrelid = has_column.target
                      and item.attname = has_column.column_name
                      and item.attnum > 0 and not item.attisdropped)
$$;
comment on function pgpipe_internal.has_column(regclass, name) is
    'Whether the table has a column of this name; false for NULL.';

create or replace function pgpipe_internal.known_rows(target regclass)
    returns double precision
    stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    -- Of the parts of a distributed table nothing is known here but what was counted for a
    -- search. Callers that search an ordinary one by vectors may lack the right to read that.
    if pgpipe_internal.is_distributed(known_rows.target) then
        return coalesce((select serving.documents from pgpipe.search serving
                          where serving.target = known_rows.target), 0);
    end if;
    -- Partitions and child tables, and theirs. A partitioned table is analyzed by hand only, so
    -- its own figure says nothing.
    return (
        with recursive tree as (
            select known_rows.target::oid as oid
            union
            select child.inhrelid
              from tree join pg_catalog.pg_inherits child on child.inhparent = tree.oid
        )
        select coalesce(sum(greatest(class.reltuples, 0)), 0)
          from tree join pg_catalog.pg_class class on class.oid = tree.oid
         where class.relkind <> 'p');
end
$$;
comment on function pgpipe_internal.known_rows(regclass) is
    'How many rows the last VACUUM or ANALYZE counted, partitions and child tables included; 0 '
    'before the first. Of a distributed table, how many its search counted.';

create or replace function pgpipe_internal.require_page(k int, skip int)
    returns void  immutable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if k >= 0 and skip >= 0 then
        return;
    end if;
    raise exception 'k and skip are numbers from 0 on, not % and %', k, skip
        using errcode = 'PP003',
        hint = 'k is how many answers to return, skip how many to leave out before them.';
end
$$;
comment on function pgpipe_internal.require_page(int, int) is
    'Raises PP003 where k or skip is negative or NULL.';

create or replace function pgpipe_internal.require_columns(target regclass, columns name[])
    returns void  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    missing name;
begin
    select wanted.name into missing from unnest(columns) wanted (name)
     where not pgpipe_internal.has_column(target, wanted.name) limit 1;
    if found then
        raise exception '% has no column %', target, quote_ident(missing) using errcode = 'PP002',
            hint = (select coalesce('It has ' || string_agg(quote_ident(item.attname), ', '
                                                            order by item.attnum) || '.',
                                    'You may not read any of its columns.')
                      from pg_catalog.pg_attribute item
                     where item.attrelid = require_columns.target
                       and item.attnum > 0 and not item.attisdropped
                       and has_column_privilege(item.attrelid, item.attnum, 'select'));
    end if;
end
$$;
comment on function pgpipe_internal.require_columns(regclass, name[]) is
    'Raises PP002, naming the first column that the target lacks, and those that the caller may '
    'read.';

create or replace function pgpipe_internal.key_json(target regclass, columns name[], alias text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format('pg_catalog.jsonb_build_object(%s)', string_agg(
               format(case when pgpipe_internal.is_builtin(known.base)
                            and pgpipe_internal.element_type(known.base) is not null
                           then '%L, pgpipe_internal.array_json(%s)' else '%L, %s' end,
                      part.name, pgpipe_internal.pinned(
                          known.type, format('%s.%I', alias, part.name))),
               ', ' order by part.place))
      from unnest(columns) with ordinality part (name, place)
     cross join lateral (
           select found.type, pgpipe_internal.base_type(found.type) as base
             from pgpipe_internal.column_type_of(target, part.name) found (type)) known
$$;
comment on function pgpipe_internal.key_json(regclass, name[], text) is
    'SQL text: the key of the row `alias` as jsonb.';

create or replace function pgpipe_internal.array_literal(value jsonb)
    returns text
    immutable strict parallel safe  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case jsonb_typeof(value)
           when 'array' then '{' || coalesce((
                select string_agg(coalesce(pgpipe_internal.array_literal(part.value), 'NULL'), ','
                                  order by part.place)
                  from jsonb_array_elements(value) with ordinality part (value, place)), '') || '}'
           when 'null' then 'NULL'
           else '"' || replace(replace(value #>> '{}', '\', '\\'), '"', '\"') || '"' end
$$;
comment on function pgpipe_internal.array_literal(jsonb) is
    'A JSON array of any depth as the text form of a PostgreSQL array.';

create or replace function pgpipe_internal.array_json(value anyarray)
    returns jsonb
    stable strict parallel safe  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case when array_dims(value) ~ '[[](?!1:)' or pg_typeof(value) = 'jsonb[]'::regtype
                then to_jsonb(format('%s', value)) else to_jsonb(value) end
$$;
comment on function pgpipe_internal.array_json(anyarray) is
    'An array as JSON; as its text if JSON would lose something of it: bounds that do not begin '
    'at 1, and which of its elements are NULL and which the JSON null.';

create or replace function pgpipe_internal.array_text(value jsonb)
    returns text
    immutable strict parallel safe  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case jsonb_typeof(value) when 'string' then value #>> '{}'
                else pgpipe_internal.array_literal(value) end
$$;
comment on function pgpipe_internal.array_text(jsonb) is
    'The text form of an array that array_json made JSON of.';

create or replace function pgpipe_internal.refuse_domain(target regclass, column_name name)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    raise exception
        'the type of %, in the key of %, holds a domain, whose CHECK would run for each search',
        quote_ident(column_name), target
        using errcode = 'PP003', hint = 'Use the type below the domain.';
end
$$;
comment on function pgpipe_internal.refuse_domain(regclass, name) is
    'Raises PP003 for a key whose values cannot be read without a CHECK.';

create or replace function pgpipe_internal.key_value(target regclass, column_name name, key text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Of the type below a domain: comparing a value need not run a CHECK. A type whose owner may
    -- make casts is read by its input function.
    select case
           when base.type = 'jsonb'::regtype then format('(%s -> %L)', key, column_name)
           when base.type >= 16384 and pgpipe_internal.holds_domain(base.type)
           then pgpipe_internal.refuse_domain(target, column_name)
           when not pgpipe_internal.is_trusted_type(base.type)
                or pgpipe_internal.element_type(base.type) is not null
                   and not pgpipe_internal.is_builtin(base.type)
           then format('(select held.%I from pg_catalog.jsonb_to_record(%s) held (%I %s))',
                       column_name, key, column_name, base.name)
           when pgpipe_internal.element_type(base.type) is not null
           then format('pgpipe_internal.array_text(%s -> %L)::%s', key, column_name, base.name)
           else format('(%s ->> %L)::%s', key, column_name, base.name) end
      from (select known.type, pg_catalog.format_type(known.type, -1) as name
              from (select pgpipe_internal.base_type(
                               pgpipe_internal.column_type_of(target, column_name)) as type) known
             where known.type is not null) base
$$;
comment on function pgpipe_internal.key_value(regclass, name, text) is
    'SQL text: the value of one key column, of its type, out of the jsonb expression `key`.';

create or replace function pgpipe_internal.key_unreadable(
    target regclass, columns name[], key text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Before PostgreSQL 16 nothing says it but the error.
    select coalesce(string_agg(format(
               'pg_catalog.pg_input_is_valid(%s, %L) is false',
               case when pgpipe_internal.is_builtin(base.type)
                     and pgpipe_internal.element_type(base.type) is not null
                    then format('pgpipe_internal.array_text(%s -> %L)', key, part.name)
                    else format('%s ->> %L', key, part.name) end,
               pg_catalog.format_type(base.type, -1)), ' or ' order by part.place), 'false')
      from unnest(columns) with ordinality part (name, place)
     cross join lateral (
           select pgpipe_internal.base_type(
                      pgpipe_internal.column_type_of(target, part.name)) as type) base
     where to_regprocedure('pg_catalog.pg_input_is_valid(text, text)') is not null
       and base.type <> 'jsonb'::regtype
$$;
comment on function pgpipe_internal.key_unreadable(regclass, name[], text) is
    'SQL text: the jsonb expression `key` holds a value that is not of its column''s type, so '
    'that key_value would fail.';

create or replace function pgpipe_internal.key_match(
    target regclass, columns name[], alias text, key text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(pgpipe_internal.compare(
               pgpipe_internal.column_type_of(target, part.name),
               format('%s.%I', alias, part.name), '=',
               pgpipe_internal.key_value(target, part.name, key)), ' and ' order by part.place)
      from unnest(columns) with ordinality part (name, place)
$$;
comment on function pgpipe_internal.key_match(regclass, name[], text, text) is
    'SQL text: the row `alias` has the key held by the jsonb expression `key`.';

create or replace function pgpipe_internal.key_after(
    target regclass, columns name[], alias text, key text, after boolean default true)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    with part as (
        select wanted.place, pgpipe_internal.column_type_of(target, wanted.name) as type,
               format('%s.%I', alias, wanted.name) as a,
               pgpipe_internal.key_value(target, wanted.name, key) as b
          from unnest(columns) with ordinality wanted (name, place)
    ), compared as (
        select part.*, comparison.operator, pgpipe_internal.compare(type, a, '>', b) as later,
               string_agg(pgpipe_internal.compare(type, a, '=', b), ' and ')
                   over (order by place rows unbounded preceding exclude current row) as earlier
          from part cross join lateral pgpipe_internal.type_operator(
               type, case when after then '>' else '<=' end) comparison
    )
    -- One comparison of rows, which an index can answer, unless the operators of the types lie in
    -- several schemas.
    select case
           when count(distinct operator) = 1
           then format('(%s) %s (%s)', string_agg(a, ', ' order by place), min(operator),
                       string_agg(b, ', ' order by place))
           else format(case when after then '(%s)' else 'not (%s)' end, string_agg(
                    format('(%s)', concat_ws(' and ', earlier, later)), ' or ' order by place))
           end
      from compared
$$;
comment on function pgpipe_internal.key_after(regclass, name[], text, text, boolean) is
    'SQL text: the row `alias` comes after the key held by the jsonb expression `key`, in the '
    'order of the primary key; or does not.';

create or replace function pgpipe_internal.vector_schema()
    returns name  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select home.nspname from pg_catalog.pg_extension known
      join pg_catalog.pg_namespace home on home.oid = known.extnamespace
     where known.extname = 'vector'
$$;
comment on function pgpipe_internal.vector_schema() is
    'The schema that holds pgvector''s types and operators; null where it is not installed.';

create or replace function pgpipe_internal.require_key(target regclass)
    returns name[]  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    columns name[] := pgpipe_internal.key_columns(target);
begin
    if columns is null then
        raise exception '% has no primary key, so nothing identifies its rows', target
            using errcode = 'PP007',
            hint = format('Add one: alter table %s add primary key (…)', target);
    end if;
    return columns;
end
$$;
comment on function pgpipe_internal.require_key(regclass) is
    'The columns of the primary key. Raises PP007 where there is none.';
