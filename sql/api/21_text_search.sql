-- Keyword search.

create or replace function pgpipe.text_search(
    target regclass, query text, k int default 10, filter jsonb default null, skip int default 0,
    prefix boolean default false, fuzzy boolean default true, options jsonb default null)
    returns table (key jsonb, score double precision, text_rank int, title text, passage text,
                   "row" jsonb, corrected text, details jsonb)
    stable rows 10
    set search_path = pg_catalog, pg_temp set jit = off
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    chosen constant jsonb := pgpipe_internal.search_options(options);
    languages regconfig[] := pgpipe_internal.search_languages(target);
    understood record := pgpipe_internal.understand(target, languages, query, prefix, fuzzy);
    clock timestamptz[] := array[clock_timestamp()];
    found pgpipe_internal.listed[];
begin
    perform pgpipe_internal.require_page(k, skip);
    found := pgpipe_internal.list_text(
        target, understood.asked, pgpipe_internal.pool(chosen, k + skip, 500), filter, prefix);
    clock := clock || clock_timestamp();
    found := pgpipe_internal.arrange_hits(
        target, pgpipe_internal.key_columns(target), found, chosen);
    clock := clock || clock_timestamp();
    return query
    select hit.key, hit.score, hit.text_rank, hit.title, hit.passage, hit."row",
           understood.corrected,
           pgpipe_internal.with_times(hit.details, '{text,boosts,passages}', clock)
      from pgpipe_internal.show_hits(
               target, found[skip + 1 : skip + k],
               coalesce(pgpipe_internal.asked_words(target, understood.asked, prefix), ''), null,
               chosen,
               pgpipe_internal.explained_question(chosen, target, understood.asked, prefix)) hit;
end
$$;
comment on function pgpipe.text_search(regclass, text, int, jsonb, int, boolean, boolean, jsonb) is
    'The k rows that answer a question best by its words, after the first `skip`. Columns: key, '
    'score (BM25F), text_rank, title, passage with the words between <b> and </b> and … at its cut '
    'ends, row (null without the option "row"), details (of further options). A passage is not '
    'escaped as HTML, see pgpipe.escape_passage. Bare words are '
    'alternatives, "phrases" must occur, -words must not, word* is a beginning. With `prefix` the '
    'last word is one too. Equal scores are ordered by key. A word that no row holds is taken for '
    'the nearest one that a row does, unless `fuzzy` is false: `corrected` is then the question '
    'that was answered. docs/search.md has the `options`. '
    'Example: select key, score, title, passage from pgpipe.text_search(''article'', '
    '''compress "a file" -tar'', k => 5)';

create or replace function pgpipe.set_title(target regclass, title name)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    perform pgpipe_internal.lock_search(target);
    if title is not null then
        perform pgpipe_internal.require_columns(target, array[title]);
    end if;
    update pgpipe.search serving set title = set_title.title
     where serving.target = set_title.target
       and serving.title is distinct from set_title.title;
end
$$;
comment on function pgpipe.set_title(regclass, name) is
    'Says which column is the title of a hit; null: the first of weight A. Raises PP002 for an '
    'unknown column, PP005 if the target has no search column. '
    'Example: select pgpipe.set_title(''article'', ''title'')';

create or replace function pgpipe.set_ranking(target regclass, ranking jsonb)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    wanted pgpipe.search;
begin
    perform pgpipe_internal.lock_search(target);
    wanted.k1 := 1.2;
    wanted.b := 0.75;
    wanted.occurrences := '{0.5,0.75,1,1.5}';
    wanted.text_weight := 1;
    wanted.vector_weight := 1;
    wanted := pgpipe_internal.with_ranking(wanted, ranking);
    update pgpipe.search serving
       set k1 = wanted.k1, b = wanted.b, occurrences = wanted.occurrences,
           text_weight = wanted.text_weight, vector_weight = wanted.vector_weight
     where serving.target = set_ranking.target
       and (serving.k1, serving.b, serving.occurrences, serving.text_weight,
            serving.vector_weight)
           is distinct from (wanted.k1, wanted.b, wanted.occurrences, wanted.text_weight,
                             wanted.vector_weight);
exception when check_violation then
    raise exception 'the ranking % is out of range', ranking using errcode = 'PP003',
        hint = 'k1 is above 0, b from 0 to 1. Weights are above 0, and A is not below B, '
               'nor B below C, nor C below D.';
end
$$;
comment on function pgpipe.set_ranking(regclass, jsonb) is
    'What searches of a target rank by: k1 and b of BM25F, what an occurrence counts in a column '
    'of weight A to D, and text_weight and vector_weight of a hybrid search that names none. What '
    'is left out, or null, has its default. Raises PP003 for values out of range, PP005 if the '
    'target has no search column. '
    'Example: select pgpipe.set_ranking(''article'', ''{"k1": 1.5, "weights": {"A": 2}, '
    '"vector_weight": 1.2}'')';

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
