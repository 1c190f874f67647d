-- The search column: a stored generated tsvector with a GIN index.
-- 22_search_online.sql adds one to a table in use.

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
        select jsonb_object_agg(part.name, part.weight), count(*) > count(distinct part.name)
          into weights, twice
          from (select btrim(split_part(pair, '=>', 1), E' \n\t"'),
                       btrim(substr(pair, strpos(pair, '=>') + 2), E' \n\t"')
                  from unnest(string_to_array(btrim(columns, E'{} \n\t'), ',')) pair)
               part (name, weight);
    end;
    if jsonb_typeof(weights) is distinct from 'object' or weights = '{}' or twice
       or exists (select from jsonb_each_text(weights) part
                   where part.key = ''
                      or coalesce(part.value, '') not in ('A', 'B', 'C', 'D')) then
        raise exception 'search columns need one weight of A, B, C or D each, not %', columns
            using errcode = 'PP003',
            hint = 'Write {title=>A, description=>B}, or the same as JSON.';
    end if;
    return weights;
end
$$;
comment on function pgpipe_internal.parse_weights(text) is
    'Columns and their weights as jsonb, from {title=>A} or {"title": "A"}. Raises PP003 for '
    'anything else.';

create or replace function pgpipe_internal.is_text_array(type oid)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select exists (select from pg_catalog.pg_type kind
                    where kind.oid = pgpipe_internal.base_type(type) and kind.typcategory = 'A'
                      and pgpipe_internal.base_type(kind.typelem)
                          in ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype))
$$;
comment on function pgpipe_internal.is_text_array(oid) is
    'Whether a type is an array of PostgreSQL''s own string types, or of domains over these.';

create or replace function pgpipe_internal.searched_text(
    target regclass, column_name name, alias text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- `::text` is immutable for the string types. Of an array it is not, and neither is
    -- array_to_string: its elements are made the keys of a JSON object, whose text is.
    select case when pgpipe_internal.is_text_array(
                    pgpipe_internal.column_type_of(target, column_name))
           then pgpipe_internal.fill(
               'case array_ndims({value}::text[]) when 1 then regexp_replace(jsonb_object('
               'array_remove({value}::text[], null), array_fill(''''::text, array[cardinality('
               'array_remove({value}::text[], null))]))::text, {escape}, '' '', ''g'') end',
               jsonb_build_object('value', value, 'escape', quote_literal('\\(u....|.)')))
           else value || '::text' end
      from pgpipe_internal.column_list(array[column_name], alias) value
$$;
comment on function pgpipe_internal.searched_text(regclass, name, text) is
    'SQL text: the text of a column, of the row `alias` if one is given. An array of texts is '
    'that of its elements, each once.';

drop function if exists pgpipe_internal.search_expression(regclass, jsonb, regconfig, name, text);

create or replace function pgpipe_internal.searched_columns(
    target regclass, weights jsonb, language regconfig, alias text, version int,
    out attnum int, out weight text, out content text, out before text)
    returns setof record  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    with part as (
        select col.attnum, weighed.value as weight,
               pgpipe_internal.searched_text(target, col.attname, alias) as value,
               pgpipe_internal.searched_bytes(language) / count(*) over ()::int as share
          from jsonb_each_text(weights) weighed
          join pg_catalog.pg_attribute col
            on col.attrelid = searched_columns.target and col.attname = weighed.key
    ), roomy as (
        -- A long column has the room that the others leave, and its share of the bytes that are
        -- searched at least.
        select part.*, (
               select format('greatest(%s, %s - %s)', part.share,
                             pgpipe_internal.searched_bytes(language),
                             string_agg(format('coalesce(octet_length(%s), 0)', other.value), ' - '
                                        order by other.attnum))
                 from part other where other.attnum <> part.attnum having count(*) > 0) as room
          from part
    )
    select roomy.attnum, roomy.weight,
           case version
           when 1 then pgpipe_internal.paired_expression(
               language, roomy.value, roomy.room, roomy.share)
           else pgpipe_internal.written_expression(
               language, roomy.value, roomy.room, roomy.share) end,
           lag(roomy.weight) over (order by roomy.weight, roomy.attnum)
      from roomy
$$;
comment on function pgpipe_internal.searched_columns(regclass, jsonb, regconfig, text, int) is
    'The columns of a search, what SQL text gives their contents to the parser, and the weight of '
    'the column before each.';

create or replace function pgpipe_internal.search_expression(
    target regclass, weights jsonb, language regconfig, language_column name default null,
    alias text default null, version int default pgpipe_internal.search_version())
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Heavier columns first. A phrase asks for a weight, so it stays within columns of one. Between
    -- these is a gap: a word that no parser makes, which is taken out when all are together.
    with summed as (
        select string_agg(
                   format('%ssetweight(to_tsvector(%s, %s), %L)',
                          case when version > 1 and part.before = part.weight
                               then $gap$''' '':16'::tsvector || $gap$ end,
                          pgpipe_internal.language_expression(
                              search_expression.target, language, language_column,
                              pgpipe_internal.column_list(array[language_column], alias)),
                          part.content, part.weight),
                   ' || ' order by part.weight, part.attnum) as vector,
               version > 1 and bool_or(part.before = part.weight) as has_gaps
          from pgpipe_internal.searched_columns(target, weights, language, alias, version) part
    )
    select case when summed.has_gaps then format('ts_delete(%s, '' '')', summed.vector)
                else summed.vector end
      from summed
$$;
comment on function pgpipe_internal.search_expression(
    regclass, jsonb, regconfig, name, text, int) is
    'SQL text of the search column of a version, of the row `alias` if one is given.';

create or replace function pgpipe_internal.generate_search(wanted pgpipe.search_fill)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    perform pgpipe_internal.require_lasting(
        wanted.target, array(select jsonb_object_keys(wanted.weights)));
    -- storage main: ranking reads this column of thousands of rows, so of a long row other columns
    -- are stored apart.
    execute pgpipe_internal.fill(
        'alter table {target} add column {search} tsvector generated always as ({expression}) '
        'stored{storage}', jsonb_build_object(
            'target', wanted.target, 'search', quote_ident(wanted.column_name),
            -- Citus refuses it; on a table that is distributed later it stays as it is.
            'storage', case when not pgpipe_internal.is_distributed(wanted.target)
                then format(', alter column %I set storage main', wanted.column_name) end,
            'expression', pgpipe_internal.search_expression(
                wanted.target, wanted.weights,
                pgpipe_internal.declared_language(wanted.target, wanted.language),
                wanted.language_column, null, wanted.version)));
    insert into pgpipe.search (target, column_name, weights, language, language_column, version)
    values (wanted.target, wanted.column_name, wanted.weights, wanted.language,
            wanted.language_column, wanted.version);
end
$$;
comment on function pgpipe_internal.generate_search(pgpipe.search_fill) is
    'Adds the column that PostgreSQL generates, and declares the search.';

create or replace function pgpipe_internal.forget_search()
    returns void  volatile  set search_path = pg_catalog, pg_temp  language sql
as $$
    delete from pgpipe.search_fill filling
     where not exists (select from pg_catalog.pg_class class where class.oid = filling.target);
    with gone as (
        delete from pgpipe.search serving
         where not exists (select from pg_catalog.pg_class class where class.oid = serving.target)
        returning serving.target
    )
    delete from pgpipe.lexeme word using gone where word.target = gone.target;
    delete from pgpipe.synonym known
     where not exists (select from pg_catalog.pg_class class where class.oid = known.target);
$$;
comment on function pgpipe_internal.forget_search() is
    'Deletes what is kept about targets that were dropped.';

create or replace function pgpipe_internal.require_search(target regclass)
    returns pgpipe.search  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    declared pgpipe.search;
begin
    select * into declared from pgpipe.search known where known.target = require_search.target;
    if declared.target is null
       and exists (select from pgpipe.search_fill filling
                    where filling.target = require_search.target) then
        raise exception '% has no search column yet: it is being filled', target
            using errcode = 'PP005', hint = format(
                'Run `pgpipe fill-search`, or call pgpipe.fill_search(%L).', target);
    elsif declared.target is null then
        raise exception '% has no search column', target using errcode = 'PP005',
            hint = format('Declare one: select pgpipe.enable_search(%L, ''{column=>A}'')', target);
    elsif not pgpipe_internal.has_column(target, declared.column_name) then
        raise exception '% has lost its search column %', target,
            quote_ident(declared.column_name) using errcode = 'PP005',
            hint = format('Declare it again: select pgpipe.enable_search(%L, …)', target);
    end if;
    return declared;
end
$$;
comment on function pgpipe_internal.require_search(regclass) is
    'What is declared about the search of a target. Raises PP005 if there is none.';

create or replace function pgpipe_internal.row_expression(target regclass, alias text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select coalesce(
        '(select to_jsonb(shown.*) from (select '
        || string_agg(
               format('%s as %I', pgpipe_internal.json_value(
                          col.atttypid, format('%s.%I', alias, col.attname)), col.attname),
               ', ' order by col.attnum)
        || ') shown)', '''{}''::jsonb')
      from pg_catalog.pg_attribute col
     where col.attrelid = row_expression.target and col.attnum > 0 and not col.attisdropped
       and has_column_privilege(col.attrelid, col.attnum, 'select')
       and not exists (select from pgpipe.search serving
                        where serving.target = col.attrelid and serving.column_name = col.attname)
       and not exists (select from pgpipe.search_fill filling
                        where filling.target = col.attrelid and filling.column_name = col.attname)
$$;
comment on function pgpipe_internal.row_expression(regclass, text) is
    'SQL text: the row `alias` as jsonb, with the columns that the caller may read, without the '
    'search column.';
