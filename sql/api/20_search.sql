-- Searching a table: the search column of a new table, or of one that may be rewritten.

create or replace function pgpipe.enable_search(
    target regclass, columns text, language regconfig default 'english', column_name name default 'search',
    with_index boolean default true, language_column name default null, online boolean default false)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    wanted pgpipe.search_fill;
    serving pgpipe.search;
    filling pgpipe.search_fill;
begin
    wanted.target := target;
    wanted.column_name := column_name;
    wanted.weights := pgpipe_internal.parse_weights(columns);
    wanted.language := language::text;
    wanted.language_column := language_column;
    perform pgpipe_internal.forget_search();
    if exists (select from pgpipe.search s where s.target = enable_search.target and not pgpipe_internal.has_column(s.target, s.column_name)) then
        perform pgpipe.disable_search(target);  -- the column was dropped or renamed behind our back: what belonged to it goes too
    end if;
    select * into serving from pgpipe.search s where s.target = enable_search.target;
    select * into filling from pgpipe.search_fill f where f.target = enable_search.target;
    if serving.target is not null and (serving.weights, serving.language, serving.column_name, serving.language_column)
       is distinct from (wanted.weights, wanted.language, column_name, language_column) then
        raise exception '% is already searched by % in %', target, serving.weights, serving.language using errcode = 'PP004',
            hint = format('To change it, call pgpipe.alter_search(%L, …): searches go on meanwhile.', target);
    elsif filling.target is not null and serving.target is null
          and (filling.weights, filling.language, filling.column_name, filling.language_column)
              is distinct from (wanted.weights, wanted.language, column_name, language_column) then
        raise exception '% is being filled for a search by % in %', target, filling.weights, filling.language using errcode = 'PP004',
            hint = format('Finish it with `pgpipe fill-search`, or drop it: select pgpipe.disable_search(%L)', target);
    elsif serving.target is null and filling.target is null then
        perform pgpipe_internal.check_search(wanted);
        if online then
            perform pgpipe_internal.start_fill(wanted);
        else
            -- storage main: ranking reads this column of thousands of rows, so where a row is long, other columns are stored apart
            execute format('alter table %s add column %2$I tsvector generated always as (%s) stored, alter column %2$I set storage main',
                           target, column_name, pgpipe_internal.search_expression(target, wanted.weights, language, language_column));
            insert into pgpipe.search (target, column_name, weights, language, language_column)
            values (target, column_name, wanted.weights, wanted.language, language_column);
        end if;
    end if;
    if with_index and not online and filling.target is null then
        perform pgpipe_internal.index_search(target);
    end if;
    perform pgpipe_internal.grant_target(target);
end
$$;
comment on function pgpipe.enable_search(regclass, text, regconfig, name, boolean, name, boolean) is
    'Adds a stored generated tsvector over the weighted columns, and its GIN index. The language is that of the table, or of each row '
    'where a column names it. Twice is a no-op. An existing table is rewritten under an exclusive lock. With `online` it is not: a trigger '
    'keeps a plain column, and fill_search fills it. Raises PP002 for an unknown column, PP003 for a column that cannot be used, PP004 '
    'where another search is declared. '
    'Example: select pgpipe.enable_search(''article'', ''{title=>A, body=>B}'', '
    'language => ''english'')';

create or replace function pgpipe.disable_search(target regclass)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    gone name;
begin
    for gone in
        with filling as (delete from pgpipe.search_fill f where f.target = disable_search.target returning f.column_name),
             serving as (delete from pgpipe.search s where s.target = disable_search.target returning s.column_name)
        select * from filling union all select * from serving
    loop
        perform pgpipe_internal.drop_search_column(target, gone);
    end loop;
    delete from pgpipe.lexeme l where l.target = disable_search.target;
end
$$;
comment on function pgpipe.disable_search(regclass) is
    'Drops the search column with its index, its trigger and its lexemes, also one that is still being filled. Twice is a no-op. '
    'Example: select pgpipe.disable_search(''article'')';

create or replace function pgpipe.refresh_search(target regclass, at_most int default 30000)
    returns bigint  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    declared pgpipe.search;
    total bigint;
    read bigint;  -- of which so many are counted
    percent double precision;
    sample text := '';
begin
    select * into declared from pgpipe.search s where s.target = refresh_search.target for update;
    if not found then
        raise exception '% has no search column', target using errcode = 'PP005',
            hint = format('Declare one: select pgpipe.enable_search(%L, ''{column=>A}'')', target);
    end if;
    total := (pgpipe_internal.estimate(target, 'true')).rows;
    if total <= 10 * at_most then
        execute format('select count(*) from %s', target) into total;
    end if;
    read := total;
    if total > at_most then
        percent := 100.0 * at_most / total;
        sample := format('tablesample system (%s) repeatable (1)', percent);  -- the same pages again: stable figures
        execute format('select count(*) from %s %s', target, sample) into read;  -- whole pages: more or fewer than asked for
        if total > 10 * at_most and (select c.reltuples < 0 from pg_catalog.pg_class c where c.oid = target) then
            total := greatest(read, round(100 * read / percent));  -- the planner knew the size of the file only
        end if;
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
    'Counts in how many documents each lexeme occurs, from all rows or a sample of about `at_most`. Returns the rows '
    'of the target, an estimate beyond ten times `at_most`. Searches that run meanwhile see the old figures or the new ones. '
    'Example: select pgpipe.refresh_search(''article'')';
