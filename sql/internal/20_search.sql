-- The search column: a stored generated tsvector with a GIN index. 22_search_online.sql adds one to a table in use.

create or replace function pgpipe_internal.parse_weights(columns text)
    returns jsonb  immutable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    weights jsonb;
    twice boolean := false;
begin
    begin
        weights := columns::jsonb;
    exception when invalid_text_representation then  -- {title=>A, description=>B}
        select jsonb_object_agg(p.name, p.weight), count(*) > count(distinct p.name) into weights, twice
          from (select btrim(split_part(pair, '=>', 1), E' \n\t"'), btrim(substr(pair, strpos(pair, '=>') + 2), E' \n\t"')
                  from unnest(string_to_array(btrim(columns, E'{} \n\t'), ',')) pair) p (name, weight);
    end;
    if jsonb_typeof(weights) is distinct from 'object' or weights = '{}' or twice then
        weights := '{"": ""}';  -- refused below
    end if;
    if exists (select from jsonb_each_text(weights) w where w.key = '' or coalesce(w.value, '') not in ('A', 'B', 'C', 'D')) then
        raise exception 'search columns need one weight of A, B, C or D each, not %', columns using errcode = 'PP003',
            hint = 'Write {title=>A, description=>B}, or the same as JSON.';
    end if;
    return weights;
end
$$;
comment on function pgpipe_internal.parse_weights(text) is
    'Columns and their weights as jsonb, from {title=>A} or {"title": "A"}. Raises PP003 for anything else.';

create or replace function pgpipe_internal.search_expression(
    target regclass, weights jsonb, language regconfig, language_column name default null, alias text default null)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Heavier columns first; `::text` is immutable for the string types and refused by PostgreSQL for the others.
    select string_agg(format('setweight(to_tsvector(%s, %s), %L)',
                             pgpipe_internal.language_expression(search_expression.target, language, language_column,
                                                        pgpipe_internal.column_list(array[language_column], alias)),
                             pgpipe_internal.paired_expression(language, pgpipe_internal.column_list(array[a.attname], alias) || '::text', w.among),
                             w.value),
                      ' || ' order by w.value, a.attnum)
      from (select e.key, e.value, count(*) over ()::int as among from jsonb_each_text(weights) e) w
      join pg_catalog.pg_attribute a on a.attrelid = search_expression.target and a.attname = w.key
$$;
comment on function pgpipe_internal.search_expression(regclass, jsonb, regconfig, name, text) is
    'SQL text of the search column, of the row `alias` where one is given.';

create or replace function pgpipe_internal.index_search(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    missing record;
begin
    for missing in select * from pgpipe_internal.missing_search_indexes(target) loop
        execute format('create index on %s using %s (%I)', target, missing.method, missing.column_name);
    end loop;
end
$$;
comment on function pgpipe_internal.index_search(regclass) is
    'Builds the indexes that the declared search lacks: GIN on the search column, and one on the language column. Twice is a no-op.';

create or replace function pgpipe_internal.is_indexed(target regclass, column_name name, method name)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select exists (
        select from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid
          join pg_catalog.pg_am m on m.oid = c.relam
          join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
         where i.indrelid = is_indexed.target and m.amname = is_indexed.method and a.attname = is_indexed.column_name
           and i.indisvalid and i.indpred is null)
$$;
comment on function pgpipe_internal.is_indexed(regclass, name, name) is
    'Whether a valid index of this method begins with the column and has all rows.';

create or replace function pgpipe_internal.missing_search_indexes(target regclass)
    returns table (column_name name, method name)
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    with declared as (  -- what is being filled goes first: it is what will be searched
        select f.column_name, f.language_column from pgpipe.search_fill f where f.target = missing_search_indexes.target
        union all
        select s.column_name, s.language_column from pgpipe.search s where s.target = missing_search_indexes.target
           and not exists (select from pgpipe.search_fill f where f.target = s.target)
    ), wanted as (
        select d.column_name, 'gin'::name as method from declared d
        union all
        select d.language_column, 'btree' from declared d where d.language_column is not null  -- its values are read with each question
    )
    select w.column_name, w.method from wanted w where not pgpipe_internal.is_indexed(target, w.column_name, w.method)
$$;
comment on function pgpipe_internal.missing_search_indexes(regclass) is 'Columns, and methods, of the indexes that a declared search lacks.';

create or replace function pgpipe_internal.search_index_statements(target regclass)
    returns setof text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    with part as (  -- a partitioned table takes no index concurrently; its own is made of those that its partitions have
        select c.oid::regclass as part from pg_catalog.pg_class c
         where c.relkind = 'r' and c.oid in (select target union select p.relid from pg_catalog.pg_partition_tree(target) p)
    )
    select s.statement
      from pgpipe_internal.missing_search_indexes(target) m
      cross join lateral (
        select 1 as place, format('drop index concurrently %s', i.indexrelid::regclass) as statement  -- left by a build that was cut off
          from part p join pg_catalog.pg_index i on i.indrelid = p.part
          join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
         where a.attname = m.column_name and not i.indisvalid and i.indnatts = 1
        union all
        select 2, format('create index concurrently on %s using %s (%I)', p.part, m.method, m.column_name)
          from part p where not pgpipe_internal.is_indexed(p.part, m.column_name, m.method)
        union all
        select 3, format('create index on %s using %s (%I)', target, m.method, m.column_name)
          from pg_catalog.pg_class c where c.oid = target and c.relkind = 'p'
      ) s
     order by m.column_name, s.place, s.statement
$$;
comment on function pgpipe_internal.search_index_statements(regclass) is
    'The statements, each to be run outside of a transaction, that build the indexes a declared search lacks, without locking out writers.';

create or replace function pgpipe_internal.require_plain(target regclass, columns name[])
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    computed name;
begin
    select a.attname into computed from pg_catalog.pg_attribute a
     where a.attrelid = target and a.attname = any (columns) and a.attgenerated <> '' order by a.attnum limit 1;
    if found then
        raise exception '% is a generated column of %: PostgreSQL computes no search column from another generated column',
            quote_ident(computed), target using errcode = 'PP003', hint = 'Name the columns that it is computed from.';
    end if;
end
$$;
comment on function pgpipe_internal.require_plain(regclass, name[]) is
    'Raises PP003 for a generated column: another one cannot be computed from it, and a BEFORE trigger finds NULL in it.';

create or replace function pgpipe_internal.check_search(wanted pgpipe.search_fill)
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if num_nulls(wanted.target, wanted.weights, wanted.language, wanted.column_name) > 0 then
        raise exception 'a search needs a table, columns, a language and a name for its column; one of them is NULL'
            using errcode = 'PP003';
    elsif (select c.relkind from pg_catalog.pg_class c where c.oid = wanted.target) not in ('r', 'p') then
        raise exception '% is not a table', wanted.target using errcode = 'PP003',
            hint = 'Only a table can have a search column: declare it on the one that the rows are in.';
    end if;
    perform pgpipe_internal.require_columns(wanted.target, array(select jsonb_object_keys(wanted.weights))::name[]);
    if wanted.language_column is not null then
        perform pgpipe_internal.require_columns(wanted.target, array[wanted.language_column]);
    end if;
    perform pgpipe_internal.require_plain(wanted.target, wanted.language_column
                                 || array(select jsonb_object_keys(wanted.weights))::name[]);
    perform pgpipe_internal.search_expression(
        wanted.target, wanted.weights, pgpipe_internal.declared_language(wanted.target, wanted.language),
        wanted.language_column);
    if pgpipe_internal.has_column(wanted.target, wanted.column_name) then
        raise exception '% has a column % already', wanted.target, quote_ident(wanted.column_name) using errcode = 'PP004',
            hint = 'Give the search column another name: column_name => ''search_text''.';
    end if;
end
$$;
comment on function pgpipe_internal.check_search(pgpipe.search_fill) is
    'Raises PP002, PP003 or PP004 where a search cannot be declared like this.';

create or replace function pgpipe_internal.forget_search()
    returns void  volatile  set search_path = pg_catalog, pg_temp  language sql
as $$
    delete from pgpipe.search_fill f where not exists (select from pg_catalog.pg_class c where c.oid = f.target);
    with gone as (
        delete from pgpipe.search s where not exists (select from pg_catalog.pg_class c where c.oid = s.target) returning s.target
    )
    delete from pgpipe.lexeme l using gone g where l.target = g.target;
$$;
comment on function pgpipe_internal.forget_search() is 'Deletes what is kept about targets that were dropped.';

create or replace function pgpipe_internal.require_search(target regclass)
    returns pgpipe.search  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    declared pgpipe.search;
begin
    select * into declared from pgpipe.search s where s.target = require_search.target;
    if not found then
        raise exception '% has no search column%', target,
            case when exists (select from pgpipe.search_fill f where f.target = require_search.target) then ' yet: it is being filled'
                 else '' end
            using errcode = 'PP005',
                hint = case when exists (select from pgpipe.search_fill f where f.target = require_search.target)
                            then format('Run `pgpipe fill-search`, or call pgpipe.fill_search(%L).', target)
                            else format('Declare one: select pgpipe.enable_search(%L, ''{column=>A}'')', target) end;
    elsif not pgpipe_internal.has_column(target, declared.column_name) then
        raise exception '% has lost its search column %', target, quote_ident(declared.column_name) using errcode = 'PP005',
            hint = format('Declare it again: select pgpipe.enable_search(%L, …)', target);
    end if;
    return declared;
end
$$;
comment on function pgpipe_internal.require_search(regclass) is 'What is declared about the search of a target. Raises PP005 where there is none.';

create or replace function pgpipe_internal.row_expression(target regclass, alias text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select coalesce('(select to_jsonb(r.*) from (select '
                    || string_agg(format('%s as %I', pgpipe_internal.json_value(a.atttypid, format('%s.%I', alias, a.attname)), a.attname),
                                  ', ' order by a.attnum)
                    || ') r)', '''{}''::jsonb')
      from pg_catalog.pg_attribute a
     where a.attrelid = row_expression.target and a.attnum > 0 and not a.attisdropped
       and has_column_privilege(a.attrelid, a.attnum, 'select')
       and not exists (select from pgpipe.search s where s.target = a.attrelid and s.column_name = a.attname)
       and not exists (select from pgpipe.search_fill f where f.target = a.attrelid and f.column_name = a.attname)
$$;
comment on function pgpipe_internal.row_expression(regclass, text) is
    'SQL text: the row `alias` as jsonb, with the columns that the caller may read, without the search column.';

create or replace function pgpipe_internal.search_is_stale(target regclass)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A tenth more or fewer rows moves an idf by less than 0.1; the planner's estimate costs nothing to read.
    select s.refreshed_at is null or abs(pgpipe_internal.known_rows(s.target) - s.documents) > 0.1 * greatest(s.documents, 1)
      from pgpipe.search s where s.target = search_is_stale.target
$$;
comment on function pgpipe_internal.search_is_stale(regclass) is 'Whether the lexeme table is missing or a tenth off; null without a search column.';

create or replace function pgpipe_internal.refresh_stale_searches()
    returns int  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    stale regclass;
    refreshed int := 0;
begin
    for stale in select s.target from pgpipe.search s join pg_catalog.pg_class c on c.oid = s.target
                  where pgpipe_internal.search_is_stale(s.target) and coalesce(s.refreshed_at < now() - interval '10 minutes', true)
                    and has_table_privilege(s.target, 'select')
                    and not row_security_active(s.target)
                    for update of s skip locked loop  -- who holds it is refreshing it
        perform pgpipe.refresh_search(stale);
        refreshed := refreshed + 1;
    end loop;
    return refreshed;
end
$$;
comment on function pgpipe_internal.refresh_stale_searches() is
    'Counts again the lexemes of every target that has grown or shrunk by a tenth, every ten minutes at most. Idle embedders call it, '
    'so that rows which no load brought count too. Returns how many targets it counted. It leaves those that another session holds, '
    'or that may not be read.';
