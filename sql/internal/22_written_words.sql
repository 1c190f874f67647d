-- Words as they were written: counting them, and which of them a search may show.

create or replace function pgpipe_internal.count_written(
    declared pgpipe.search, sample text, growth float8)
    returns void
    volatile  set search_path = pg_catalog, pg_temp set client_min_messages = 'error'
    language plpgsql
as $$
declare
    most constant int := 500000;
    columns constant name[] := array(
        select part from jsonb_object_keys(declared.weights) part
         where pgpipe_internal.is_trusted_type(  -- no cast of the owner's runs for who counts
                   pgpipe_internal.column_type_of(declared.target, part::name)));
begin
    -- Who may not read them all would count nothing, or show what is hidden.
    if cardinality(columns) = 0 or row_security_active(declared.target) or exists (
           select from unnest(columns) part
            where not has_column_privilege(declared.target, part, 'select')) then
        return;
    end if;
    delete from pgpipe.word known where known.target = declared.target;
    insert into pgpipe.word (target, word, documents)
    select declared.target, stat.word, stat.ndoc * growth
      from ts_stat(pgpipe_internal.fill(
               'select to_tsvector(''pg_catalog.simple'', left(concat_ws('' '', {texts}), 50000)) '
               'from {target} row {sample} where {condition}', jsonb_build_object(
                   'target', declared.target, 'sample', sample,
                   'condition', coalesce(quote_ident(pgpipe_internal.deleted_column(
                                             declared.target)) || ' is null', 'true'),
                   'texts', (
                       select string_agg(pgpipe_internal.searched_text(
                                             declared.target, part, 'row'), ', ')
                         from unnest(columns) part)))) stat
     where length(stat.word) between 3 and 30
       and stat.word !~ ('[0-9[:punct:][:space:]]|' || pgpipe_internal.unspaced())
     order by stat.ndoc desc limit most;
end
$$;
comment on function pgpipe_internal.count_written(pgpipe.search, text, float8) is
    'Counts the words of a target as they were written, in the rows that a TABLESAMPLE clause '
    'takes; each stands for `growth` documents. Numbers, codes and scripts without blanks are left '
    'out. Nothing is counted for a caller who may not read all columns and rows.';

create or replace function pgpipe_internal.shows_words(target regclass)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if not has_table_privilege('pgpipe.word', 'select') then
        return false;  -- rights that were granted before this table was there
    end if;
    return exists (select from pgpipe.word known where known.target = shows_words.target);
end
$$;
comment on function pgpipe_internal.shows_words(regclass) is
    'Whether the caller may see words of a target, and they are counted.';

create or replace function pgpipe_internal.last_beginning(beginning text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- In the order of bytes, behind all words that begin so.
    select beginning || case getdatabaseencoding() when 'UTF8' then chr(1114111) else '~' end
$$;
comment on function pgpipe_internal.last_beginning(text) is
    'A text behind all words that begin so, in the collation "C".';
