-- Targets: which columns identify a row, and how a row's key travels as jsonb.
-- A function that turns values into a key, or into what a model reads, pins every setting that their text depends on: the trigger in
-- a user's session and the worker in its own must name the same row by the same key, and read the same text.

create or replace function pgpipe_internal.derived_name(base text, suffix text)
    returns name  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A cut name alone could meet another table's; eight digits of a hash keep the two apart. A character takes up to 4 bytes.
    select case when octet_length(base || suffix) <= 63 then base || suffix
                else left(base, (54 - octet_length(suffix)) / 4) || '_' || left(md5(base), 8) || suffix end::name
$$;
comment on function pgpipe_internal.derived_name(text, text) is
    'The name base || suffix, shortened to the 63 bytes of a name by a hash of the base where it is longer.';

create or replace function pgpipe_internal.key_columns(target regclass)
    returns name[]  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select array_agg(a.attname order by k.ordinality)
      from pg_catalog.pg_index i
      cross join lateral unnest(i.indkey::int2[]) with ordinality k (attnum, ordinality)
      join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
     where i.indrelid = key_columns.target and i.indisprimary and k.ordinality <= i.indnkeyatts  -- not the INCLUDE columns
$$;
comment on function pgpipe_internal.key_columns(regclass) is 'The columns of the primary key, in its order; null where there is none.';

create or replace function pgpipe_internal.has_column(target regclass, column_name name)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select exists (select from pg_catalog.pg_attribute a where a.attrelid = has_column.target and a.attname = has_column.column_name
                      and a.attnum > 0 and not a.attisdropped)
$$;
comment on function pgpipe_internal.has_column(regclass, name) is 'Whether the table has a column of this name; false for NULL.';

create or replace function pgpipe_internal.known_rows(target regclass)
    returns double precision  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Partitions and child tables, and theirs. A partitioned table is analyzed by hand only, so its own figure says nothing.
    with recursive tree as (
        select known_rows.target::oid as oid
        union
        select h.inhrelid from tree t join pg_catalog.pg_inherits h on h.inhparent = t.oid
    )
    select coalesce(sum(greatest(c.reltuples, 0)), 0) from tree t join pg_catalog.pg_class c on c.oid = t.oid where c.relkind <> 'p'
$$;
comment on function pgpipe_internal.known_rows(regclass) is
    'How many rows the last VACUUM or ANALYZE counted, partitions and child tables included; 0 before the first.';

create or replace function pgpipe_internal.require_page(k int, skip int)
    returns void  immutable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if k >= 0 and skip >= 0 then
        return;
    end if;
    raise exception 'k and skip are numbers from 0 on, not % and %', k, skip using errcode = 'PP003',
        hint = 'k is how many answers to return, skip how many to leave out before them.';
end
$$;
comment on function pgpipe_internal.require_page(int, int) is 'Raises PP003 where k or skip is negative or NULL.';

create or replace function pgpipe_internal.require_columns(target regclass, columns name[])
    returns void  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    missing name;
begin
    select c into missing from unnest(columns) c where not pgpipe_internal.has_column(target, c) limit 1;
    if found then
        raise exception '% has no column %', target, quote_ident(missing) using errcode = 'PP002',
            hint = (select 'It has ' || string_agg(quote_ident(a.attname), ', ' order by a.attnum) || '.'
                      from pg_catalog.pg_attribute a
                     where a.attrelid = require_columns.target and a.attnum > 0 and not a.attisdropped);
    end if;
end
$$;
comment on function pgpipe_internal.require_columns(regclass, name[]) is 'Raises PP002, naming the first column that the target lacks.';

create or replace function pgpipe_internal.key_json(target regclass, columns name[], alias text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select 'pg_catalog.jsonb_build_object('
           || string_agg(format('%L, %s', c, pgpipe_internal.json_value(pgpipe_internal.column_type_of(target, c), format('%s.%I', alias, c))),
                         ', ' order by n) || ')'
      from unnest(columns) with ordinality k (c, n)
$$;
comment on function pgpipe_internal.key_json(regclass, name[], text) is 'SQL text: the key of the row `alias` as jsonb.';

create or replace function pgpipe_internal.array_literal(value jsonb)
    returns text  immutable strict parallel safe  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case jsonb_typeof(value)
           when 'array' then '{' || coalesce((select string_agg(coalesce(pgpipe_internal.array_literal(e), 'NULL'), ',' order by n)
                                                from jsonb_array_elements(value) with ordinality a (e, n)), '') || '}'
           when 'null' then 'NULL'
           else '"' || replace(replace(value #>> '{}', '\', '\\'), '"', '\"') || '"' end
$$;
comment on function pgpipe_internal.array_literal(jsonb) is 'A JSON array of any depth as the text form of a PostgreSQL array.';

create or replace function pgpipe_internal.refuse_domain(target regclass, column_name name)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    raise exception 'the type of %, which is in the key of %, holds a domain, whose CHECK would run for whoever searches',
        quote_ident(column_name), target using errcode = 'PP003', hint = 'Use the type below the domain.';
end
$$;
comment on function pgpipe_internal.refuse_domain(regclass, name) is 'Raises PP003 for a key whose values cannot be read without a CHECK.';

create or replace function pgpipe_internal.key_value(target regclass, column_name name, key text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Of the type below a domain: comparing a value need not run a CHECK. A type whose owner may make casts is read by its
    -- input function.
    select case when b.type = 'jsonb'::regtype then format('(%s -> %L)', key, column_name)
                when b.type >= 16384 and pgpipe_internal.holds_domain(b.type) then pgpipe_internal.refuse_domain(a.attrelid, a.attname)
                when not pgpipe_internal.is_trusted_type(b.type) then
                     format('(select r.%2$I from pg_catalog.jsonb_to_record(%1$s) r (%2$I %3$s))', key, column_name, b.name)
                when pgpipe_internal.element_type(b.type) is not null then
                     format('pgpipe_internal.array_literal(%s -> %L)::%s', key, column_name, b.name)
                else format('(%s ->> %L)::%s', key, column_name, b.name) end
      from pg_catalog.pg_attribute a
     cross join lateral (
           select pgpipe_internal.base_type(a.atttypid) as type, pg_catalog.format_type(pgpipe_internal.base_type(a.atttypid), -1) as name) b
     where a.attrelid = key_value.target and a.attname = key_value.column_name
$$;
comment on function pgpipe_internal.key_value(regclass, name, text) is
    'SQL text: the value of one key column, of its type, out of the jsonb expression `key`.';

create or replace function pgpipe_internal.key_unreadable(target regclass, columns name[], key text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Before PostgreSQL 16 nothing says it but the error.
    select coalesce(string_agg(format('pg_catalog.pg_input_is_valid(%s, %L) is false', case
               when pgpipe_internal.is_trusted_type(b.type) and pgpipe_internal.element_type(b.type) is not null
               then format('pgpipe_internal.array_literal(%s -> %L)', key, c) else format('%s ->> %L', key, c) end,
               pg_catalog.format_type(b.type, -1)), ' or ' order by n), 'false')
      from unnest(columns) with ordinality k (c, n)
     cross join lateral (select pgpipe_internal.base_type(pgpipe_internal.column_type_of(target, c)) as type) b
     where to_regprocedure('pg_catalog.pg_input_is_valid(text, text)') is not null and b.type <> 'jsonb'::regtype
$$;
comment on function pgpipe_internal.key_unreadable(regclass, name[], text) is
    'SQL text: the jsonb expression `key` holds a value that is not of its column''s type, so that key_value would fail.';

create or replace function pgpipe_internal.key_match(target regclass, columns name[], alias text, key text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(pgpipe_internal.compare(pgpipe_internal.column_type_of(target, c), format('%s.%I', alias, c), '=',
                                     pgpipe_internal.key_value(target, c, key)), ' and ' order by n)
      from unnest(columns) with ordinality k (c, n)
$$;
comment on function pgpipe_internal.key_match(regclass, name[], text, text) is
    'SQL text: the row `alias` has the key held by the jsonb expression `key`.';

create or replace function pgpipe_internal.key_after(target regclass, columns name[], alias text, key text, after boolean default true)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- One comparison of rows, which an index can answer, unless the operators of the types lie in several schemas.
    select case when count(distinct k.operator) = 1
                then format('(%s) %s (%s)', string_agg(k.a, ', ' order by k.n), min(k.operator), string_agg(k.b, ', ' order by k.n))
                else format(case when after then '(%s)' else 'not (%s)' end, string_agg(
                         format('(%s)', concat_ws(' and ', k.before, pgpipe_internal.compare(k.type, k.a, '>', k.b))), ' or ' order by k.n))
           end
      from (select c.n, c.type, c.a, c.b, (pgpipe_internal.type_operator(c.type, case when after then '>' else '<=' end)).operator,
                   string_agg(pgpipe_internal.compare(c.type, c.a, '=', c.b), ' and ') over (order by c.n rows unbounded preceding
                                                                                    exclude current row) as before
              from (select u.n, pgpipe_internal.column_type_of(target, u.c) as type, format('%s.%I', alias, u.c) as a,
                           pgpipe_internal.key_value(target, u.c, key) as b
                      from unnest(columns) with ordinality u (c, n)) c) k
$$;
comment on function pgpipe_internal.key_after(regclass, name[], text, text, boolean) is
    'SQL text: the row `alias` comes after the key held by the jsonb expression `key`, in the order of the primary key; or does not.';

create or replace function pgpipe_internal.column_list(columns name[], alias text default null)
    returns text  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(coalesce(alias || '.', '') || quote_ident(c), ', ' order by n)
      from unnest(columns) with ordinality k (c, n)
$$;
comment on function pgpipe_internal.column_list(name[], text) is 'SQL text: the columns, quoted, each after `alias.` where one is given.';

create or replace function pgpipe_internal.numbered_list(columns name[], alias text)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(format('%s.%I as key_%s', alias, c, n), ', ' order by n) from unnest(columns) with ordinality k (c, n)
$$;
comment on function pgpipe_internal.numbered_list(name[], text) is
    'SQL text: the columns of a key under the names key_1, key_2, …, which meet no other name of '
    'a query.';

create or replace function pgpipe_internal.number_list(columns name[], alias text)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(format('%s.key_%s', alias, n), ', ' order by n) from unnest(columns) with ordinality k (c, n)
$$;
comment on function pgpipe_internal.number_list(name[], text) is 'SQL text: the columns that numbered_list named.';

create or replace function pgpipe_internal.numbered_json(target regclass, columns name[], alias text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select 'pg_catalog.jsonb_build_object('
           || string_agg(format('%L, %s', c, pgpipe_internal.json_value(pgpipe_internal.column_type_of(target, c), format('%s.key_%s', alias, n))),
                         ', ' order by n) || ')'
      from unnest(columns) with ordinality k (c, n)
$$;
comment on function pgpipe_internal.numbered_json(regclass, name[], text) is 'SQL text: the key as jsonb, of columns that numbered_list named.';

create or replace function pgpipe_internal.same_numbered(target regclass, columns name[], a text, b text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(pgpipe_internal.compare(pgpipe_internal.column_type_of(target, c), format('%s.key_%s', same_numbered.a, n), '=',
                                     format('%s.%I', same_numbered.b, c)), ' and ' order by n)
      from unnest(columns) with ordinality k (c, n)
$$;
comment on function pgpipe_internal.same_numbered(regclass, name[], text, text) is
    'SQL text: the row `a`, whose key numbered_list named, has the key of the row `b`.';

create or replace function pgpipe_internal.vector_schema()
    returns name  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select n.nspname from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
     where e.extname = 'vector'
$$;
comment on function pgpipe_internal.vector_schema() is 'The schema that holds pgvector''s types and operators; null where it is not installed.';

create or replace function pgpipe_internal.require_key(target regclass)
    returns name[]  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    columns name[] := pgpipe_internal.key_columns(target);
begin
    if columns is null then
        raise exception '% has no primary key, so its rows could not be told apart', target using errcode = 'PP007',
            hint = format('Add one: alter table %s add primary key (…)', target);
    end if;
    return columns;
end
$$;
comment on function pgpipe_internal.require_key(regclass) is 'The columns of the primary key. Raises PP007 where there is none.';
