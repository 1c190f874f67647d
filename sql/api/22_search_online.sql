-- Searching a table in use: a search column that is added and filled without a rewrite.

create or replace function pgpipe.alter_search(
    target regclass, columns text, language regconfig default null,
    language_column name default null)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    serving pgpipe.search := pgpipe_internal.require_search(target);
    wanted pgpipe.search_fill;
    filling pgpipe.search_fill;
begin
    wanted.target := target;
    wanted.version := pgpipe_internal.search_version();
    wanted.weights := pgpipe_internal.parse_weights(columns);
    wanted.language := coalesce(language::text, serving.language);
    wanted.language_column := nullif(coalesce(language_column, serving.language_column), '');
    -- Numbers of columns are never used twice, so neither is the name.
    wanted.column_name := pgpipe_internal.derived_name(serving.column_name, '_' || (
        select max(col.attnum) + 1 from pg_catalog.pg_attribute col
         where col.attrelid = alter_search.target));
    select * into filling from pgpipe.search_fill known where known.target = alter_search.target;
    if (filling.weights, filling.language, filling.language_column, filling.version)
       is not distinct from
       (wanted.weights, wanted.language, wanted.language_column, wanted.version) then
        return;
    elsif filling.target is not null then  -- another change, not finished: this one replaces it
        delete from pgpipe.search_fill known where known.target = alter_search.target;
        perform pgpipe_internal.execute_briefly(
            format('lock table %s in access exclusive mode', target));
        perform pgpipe_internal.drop_search_column(target, filling.column_name);
    end if;
    if (serving.weights, serving.language, serving.language_column, serving.version)
       is distinct from
       (wanted.weights, wanted.language, wanted.language_column, wanted.version) then
        perform pgpipe_internal.replace_search(wanted);
    end if;
end
$$;
comment on function pgpipe.alter_search(regclass, text, regconfig, name) is
    'Declares other columns, weights or another language for a target that is searched already. A '
    'second column is filled; the first serves until fill_search, or `pgpipe fill-search`, swaps '
    'them. A language or a language column that is not named stays; '''' removes the latter. '
    'Twice is a no-op; the declaration that serves ends a change under way. Raises PP005 without a '
    'search, and as enable_search. '
    'Example: select pgpipe.alter_search(''article'', ''{title=>A, body=>B, author=>C}'')';

create or replace procedure pgpipe.fill_search(target regclass, rows int default 2000)
    language plpgsql
as $$
declare
    batch record;
begin
    loop
        select * into batch from pgpipe_internal.fill_batch(target, rows);
        commit;
        raise info '% of about % rows', batch.filled, batch.total;
        exit when batch.done;
    end loop;
    if exists (select from pgpipe_internal.missing_search_indexes(target)) then
        raise info 'filled; now run, each by itself: %; then call pgpipe.fill_search(%) again', (
            select pg_catalog.string_agg(step.statement, '; '::pg_catalog.text)
              from pgpipe_internal.search_index_statements(target) step (statement)),
            pg_catalog.quote_literal(target::pg_catalog.text);
    else
        perform pgpipe_internal.finish_search(target);
    end if;
end
$$;
comment on procedure pgpipe.fill_search(regclass, int) is
    'Fills a search column batch by batch, a commit each: stop it when you like, and call it again '
    'to go on. It then swaps the column in, or says which indexes to build before. '
    'Example: call pgpipe.fill_search(''article'')';
