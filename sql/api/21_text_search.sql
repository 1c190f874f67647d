-- Keyword search.

drop function if exists pgpipe.text_search(regclass, text, int, jsonb, int, boolean);

create or replace function pgpipe.text_search(
    target regclass, query text, k int default 10, filter jsonb default null, skip int default 0,
    prefix boolean default false, fuzzy boolean default true)
    returns table (key jsonb, score double precision, text_rank int, passage text, "row" jsonb,
                   corrected text)
    stable rows 10
    set search_path = pg_catalog, pg_temp set jit = off
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    languages regconfig[] := pgpipe_internal.search_languages(target);
    better text := pgpipe_internal.corrected_question(target, languages, query, prefix, fuzzy);
    asked text := coalesce(better, query);
begin
    perform pgpipe_internal.require_page(k, skip);
    return query execute pgpipe_internal.fill($sql$
        with ranked as (
            select listed.key, listed.score, listed.rank::int
              from pgpipe_internal.rank_text($1, $2, $3 + $4, $5, $6)
                   with ordinality listed (key, score, rank)
        ), page as materialized (select * from ranked where ranked.rank > $4)
        select page.key, page.score, page.rank, {passage}, {row}, $8
          from page join {target} row on {same_row}
         order by page.rank
        $sql$, jsonb_build_object(
            'target', target,
            'passage', pgpipe_internal.headline_expression(target, 'row', '$7'),
            'row', pgpipe_internal.row_expression(target, 'row'),
            'same_row', pgpipe_internal.key_match(
                target, pgpipe_internal.require_key(target), 'row', 'page.key')))
        using target, asked, k, skip, filter, prefix,
              pgpipe_internal.asked_words(languages, asked, prefix), better;
end
$$;
comment on function pgpipe.text_search(regclass, text, int, jsonb, int, boolean, boolean) is
    'The k rows that answer a question best by its words, after the first `skip`. Columns: key, '
    'score (BM25F), text_rank, passage with the words between <b> and </b>, row. A passage is not '
    'escaped as HTML, see pgpipe.escape_passage. Bare words are '
    'alternatives, "phrases" must occur, -words must not, word* is a beginning. With `prefix` the '
    'last word is one too. Equal scores are ordered by key. A word that no row holds is taken for '
    'the nearest one that a row does, unless `fuzzy` is false: `corrected` is then the question '
    'that was answered. '
    'Example: select key, score, passage from pgpipe.text_search(''article'', '
    '''compress "a file" -tar'', k => 5)';

create or replace function pgpipe.escape_passage(passage text)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select marked || repeat('</b>', regexp_count(marked, '<b>') - regexp_count(marked, '</b>'))
      from replace(replace(replace(replace(replace(
               passage, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;')
           escaped
     cross join replace(replace(escaped, '&lt;b&gt;', '<b>'), '&lt;/b&gt;', '</b>') marked
$$;
comment on function pgpipe.escape_passage(text) is
    'A passage for a page: escaped as HTML, with the marks <b> and </b> as its only tags. The '
    'passages of the searches hold the text of the row as it is, also what looks like HTML. '
    'Example: select pgpipe.escape_passage(passage) from pgpipe.text_search(''article'', '
    '''compress'')';
