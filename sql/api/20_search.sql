-- Searching a table: the search column of a new table, or of one that may be rewritten.

create or replace function pgpipe.enable_search(
    target regclass, columns text, language regconfig default 'english',
    column_name name default 'search', with_index boolean default true,
    language_column name default null, online boolean default false)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    wanted pgpipe.search_fill;
    is_filling boolean;
begin
    wanted.target := target;
    wanted.column_name := column_name;
    wanted.weights := pgpipe_internal.parse_weights(columns);
    wanted.language := language::text;
    wanted.language_column := language_column;
    wanted.version := pgpipe_internal.search_version();
    perform pgpipe_internal.forget_search();
    if exists (select from pgpipe.search serving where serving.target = enable_search.target
                  and not pgpipe_internal.has_column(serving.target, serving.column_name)) then
        perform pgpipe.disable_search(target);  -- the column was dropped or renamed
    end if;
    perform pgpipe_internal.refuse_other_search(wanted);
    is_filling := exists (select from pgpipe.search_fill filling
                           where filling.target = enable_search.target);
    if not is_filling and not exists (select from pgpipe.search serving
                                       where serving.target = enable_search.target) then
        perform pgpipe_internal.check_search(wanted);
        if online then
            perform pgpipe_internal.start_fill(wanted);
        else
            perform pgpipe_internal.generate_search(wanted);
        end if;
    end if;
    if with_index and not online and not is_filling then
        perform pgpipe_internal.index_search(target);
    end if;
    perform pgpipe_internal.grant_target(target);
end
$$;
comment on function pgpipe.enable_search(regclass, text, regconfig, name, boolean, name, boolean) is
    'Adds a stored generated tsvector over the weighted columns, and its GIN index. The language '
    'is that of the table, or of each row if a column names it. Twice is a no-op. An existing '
    'table is rewritten under an exclusive lock. With `online` it is not: a trigger keeps a plain '
    'column, and fill_search fills it. Raises PP002 for an unknown column, PP003 for a column that '
    'cannot be used, PP004 if another search is declared. '
    'Example: select pgpipe.enable_search(''article'', ''{title=>A, body=>B}'', '
    'language => ''english'')';

create or replace function pgpipe.disable_search(target regclass)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    gone name;
begin
    for gone in
        with filling as (
            delete from pgpipe.search_fill filling
             where filling.target = disable_search.target returning filling.column_name
        ), serving as (
            delete from pgpipe.search serving
             where serving.target = disable_search.target returning serving.column_name
        )
        select * from filling union all select * from serving
    loop
        perform pgpipe_internal.drop_search_column(target, gone);
    end loop;
    delete from pgpipe.lexeme word where word.target = disable_search.target;
end
$$;
comment on function pgpipe.disable_search(regclass) is
    'Drops the search column with its index, its trigger and its lexemes, also one that is still '
    'being filled. Twice is a no-op. '
    'Example: select pgpipe.disable_search(''article'')';

create or replace function pgpipe.refresh_search(target regclass, at_most int default 30000)
    returns bigint  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    column_name name := pgpipe_internal.lock_search(target);
    taken record := pgpipe_internal.sample_rows(target, at_most);
begin
    perform pgpipe_internal.count_words(
        target, column_name, taken.sample, taken.read, taken.total);
    perform pgpipe_internal.count_written(serving, taken.sample, taken.growth)
       from pgpipe.search serving where serving.target = refresh_search.target;
    return taken.total;
end
$$;
comment on function pgpipe.refresh_search(regclass, int) is
    'Counts in how many documents each lexeme occurs, and each word as it is written, from all '
    'rows or a sample of about `at_most`. Returns the rows of the target, an estimate beyond ten '
    'times `at_most`. Searches that run meanwhile see the old figures or the new ones. '
    'Example: select pgpipe.refresh_search(''article'')';
