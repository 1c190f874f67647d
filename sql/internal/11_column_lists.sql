-- Lists of columns, as SQL text.
-- The columns of a key are called key_1, key_2, … where their own names could meet another name
-- of the query.

create or replace function pgpipe_internal.column_list(columns name[], alias text default null)
    returns text  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(coalesce(alias || '.', '') || quote_ident(part.name), ', '
                      order by part.place)
      from unnest(columns) with ordinality part (name, place)
$$;
comment on function pgpipe_internal.column_list(name[], text) is
    'SQL text: the columns, quoted, each after `alias.` where one is given.';

create or replace function pgpipe_internal.numbered_list(columns name[], alias text)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(format('%s.%I as key_%s', alias, part.name, part.place), ', '
                      order by part.place)
      from unnest(columns) with ordinality part (name, place)
$$;
comment on function pgpipe_internal.numbered_list(name[], text) is
    'SQL text: the columns of a key under the names key_1, key_2, …, which meet no other name of '
    'a query.';

create or replace function pgpipe_internal.number_list(columns name[], alias text)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(format('%s.key_%s', alias, place), ', ' order by place)
      from generate_series(1, cardinality(columns)) place
$$;
comment on function pgpipe_internal.number_list(name[], text) is
    'SQL text: the columns that numbered_list named.';

create or replace function pgpipe_internal.numbered_json(
    target regclass, columns name[], alias text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format('pg_catalog.jsonb_build_object(%s)', string_agg(
               format('%L, %s', part.name, pgpipe_internal.pinned(
                   pgpipe_internal.column_type_of(target, part.name),
                   format('%s.key_%s', alias, part.place))), ', ' order by part.place))
      from unnest(columns) with ordinality part (name, place)
$$;
comment on function pgpipe_internal.numbered_json(regclass, name[], text) is
    'SQL text: the key as jsonb, of columns that numbered_list named.';

create or replace function pgpipe_internal.same_numbered(
    target regclass, columns name[], a text, b text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(pgpipe_internal.compare(
               pgpipe_internal.column_type_of(target, part.name),
               format('%s.key_%s', a, part.place), '=', format('%s.%I', b, part.name)),
               ' and ' order by part.place)
      from unnest(columns) with ordinality part (name, place)
$$;
comment on function pgpipe_internal.same_numbered(regclass, name[], text, text) is
    'SQL text: the row `a`, whose key numbered_list named, has the key of the row `b`.';
