-- The search column: a stored generated tsvector with a GIN index, and the lexeme table that ranking reads.

create or replace function pgpipe.parse_weights(columns text)
    returns jsonb  immutable strict  set search_path = ''  language plpgsql
as $$
declare
    weights jsonb;
begin
    begin
        weights := columns::jsonb;
    exception when invalid_text_representation then  -- {title=>A, description=>B}
        select jsonb_object_agg(btrim(split_part(pair, '=>', 1), E' \n\t"'), btrim(substr(pair, strpos(pair, '=>') + 2), E' \n\t"'))
          into weights
          from unnest(string_to_array(btrim(columns, E'{} \n\t'), ',')) pair;
    end;
    if jsonb_typeof(weights) is distinct from 'object' or weights = '{}' then
        weights := '{"": ""}';  -- refused below
    end if;
    if exists (select from jsonb_each_text(weights) w where w.key = '' or coalesce(w.value, '') not in ('A', 'B', 'C', 'D')) then
        raise exception 'search columns need a weight of A, B, C or D each, not %', columns using errcode = 'PP003',
            hint = 'Write {title=>A, description=>B}, or the same as JSON.';
    end if;
    return weights;
end
$$;
comment on function pgpipe.parse_weights(text) is
    'Columns and their weights as jsonb, from {title=>A} or {"title": "A"}. Raises PP003 for anything else.';

create or replace function pgpipe.search_expression(target regclass, weights jsonb, language regconfig)
    returns text  stable strict  set search_path = ''  language sql
as $$
    -- Heavier columns first; `::text` is immutable for the string types and refused by PostgreSQL for the others.
    select string_agg(format('setweight(to_tsvector(%L::regconfig, coalesce(%I::text, '''')), %L)', language, a.attname, w.value),
                      ' || ' order by w.value, a.attnum)
      from jsonb_each_text(weights) w
      join pg_catalog.pg_attribute a on a.attrelid = search_expression.target and a.attname = w.key
$$;
comment on function pgpipe.search_expression(regclass, jsonb, regconfig) is 'SQL text of the generated search column.';

create or replace function pgpipe.enable_search(
    target regclass, columns text, language regconfig default 'english', column_name name default 'search',
    with_index boolean default true)
    returns void  volatile  set search_path = ''  language plpgsql
as $$
declare
    weights jsonb := pgpipe.parse_weights(columns);
    known pgpipe.search;
begin
    perform pgpipe.require_columns(target, array(select jsonb_object_keys(weights))::name[]);
    with gone as (
        delete from pgpipe.search s where not exists (select from pg_catalog.pg_class c where c.oid = s.target) returning s.target
    )
    delete from pgpipe.lexeme l using gone g where l.target = g.target;
    select * into known from pgpipe.search s where s.target = enable_search.target;
    if found and (known.weights, known.language, known.column_name) is distinct from (weights, language, column_name) then
        raise exception '% is already searched by % in %', target, known.weights, known.language using errcode = 'PP004',
            hint = format('To declare it anew, call pgpipe.disable_search(%L) first; the table is rewritten.', target);
    elsif not found then
        if exists (select from pg_catalog.pg_attribute a where a.attrelid = target and a.attname = column_name
                      and not a.attisdropped) then
            raise exception '% has a column % already', target, quote_ident(column_name) using errcode = 'PP004',
                hint = 'Give the search column another name: column_name => ''search_text''.';
        end if;
        execute format('alter table %s add column %I tsvector generated always as (%s) stored',
                       target, column_name, pgpipe.search_expression(target, weights, language));
        insert into pgpipe.search (target, weights, language, column_name) values (target, weights, language, column_name);
    end if;
    if with_index and not exists (
        select from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid
          join pg_catalog.pg_am m on m.oid = c.relam
          join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
         where i.indrelid = target and m.amname = 'gin' and a.attname = column_name) then
        execute format('create index on %s using gin (%I)', target, column_name);
    end if;
end
$$;
comment on function pgpipe.enable_search(regclass, text, regconfig, name, boolean) is
    'Adds a stored generated tsvector over the weighted columns, and its GIN index. Twice is a no-op. An existing table is '
    'rewritten under an exclusive lock. Raises PP002 for an unknown column, PP004 where another search is declared.';

create or replace function pgpipe.disable_search(target regclass)
    returns void  volatile  set search_path = ''  language plpgsql
as $$
declare
    gone pgpipe.search;
begin
    delete from pgpipe.search s where s.target = disable_search.target returning * into gone;
    if found then
        execute format('alter table %s drop column if exists %I', target, gone.column_name);
        delete from pgpipe.lexeme l where l.target = disable_search.target;
    end if;
end
$$;
comment on function pgpipe.disable_search(regclass) is 'Drops the search column, its index and its lexemes. Twice is a no-op.';

create or replace function pgpipe.refresh_search(target regclass, at_most int default 30000)
    returns bigint  volatile  set search_path = ''  language plpgsql
as $$
declare
    declared pgpipe.search;
    total bigint;
    read bigint;  -- of which so many are counted
    sample text := '';
begin
    select * into declared from pgpipe.search s where s.target = refresh_search.target for update;
    if not found then
        raise exception '% has no search column', target using errcode = 'PP005',
            hint = format('Declare one: select pgpipe.enable_search(%L, ''{column=>A}'')', target);
    end if;
    execute format('select count(*) from %s', target) into total;
    read := total;
    if total > at_most then
        sample := format('tablesample system (%s) repeatable (1)', 100.0 * at_most / total);  -- the same pages again: stable figures
        execute format('select count(*) from %s %s', target, sample) into read;  -- whole pages: more or fewer than asked for
    end if;
    delete from pgpipe.lexeme l where l.target = refresh_search.target;
    with stat as materialized (
        select w.* from ts_stat(format('select %I from %s %s', declared.column_name, refresh_search.target, sample)) w
    ), kept as (
        insert into pgpipe.lexeme (target, lexeme, documents)
        select refresh_search.target, s.word, s.ndoc * total::double precision / greatest(read, 1) from stat s
    )
    update pgpipe.search s
       set documents = total, refreshed_at = clock_timestamp(),
           mean_length = coalesce((select sum(w.nentry) from stat w)::double precision / nullif(read, 0), 0)
     where s.target = refresh_search.target;
    return total;
end
$$;
comment on function pgpipe.refresh_search(regclass, int) is
    'Counts anew in how many documents each lexeme occurs, from all rows or a sample of about `at_most`. Returns the rows '
    'of the target. Searches that run meanwhile see the old figures or the new ones.';

create or replace function pgpipe.search_is_stale(target regclass)
    returns boolean  stable  set search_path = ''  language sql
as $$
    -- A tenth more or fewer rows moves an idf by less than 0.1; the planner's estimate costs nothing to read.
    select s.refreshed_at is null
           or abs(greatest(c.reltuples, 0) - s.documents) > 0.1 * greatest(s.documents, 1)
      from pgpipe.search s join pg_catalog.pg_class c on c.oid = s.target where s.target = search_is_stale.target
$$;
comment on function pgpipe.search_is_stale(regclass) is 'Whether the lexeme table is missing or a tenth off; null without a search column.';
