-- requires: vector
-- Vector and hybrid search. Applied once pgvector is installed.

create or replace function pgpipe.vector_search(
    target regclass, query vector, k int default 10, filter jsonb default null, skip int default 0,
    embedding text default null)
    returns table (key jsonb, score double precision, vector_rank int, passage text, "row" jsonb)
    stable rows 10
    set search_path = pg_catalog, pg_temp set jit = off
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    declared pgpipe.embedding := pgpipe_internal.require_embedding(target, embedding);
begin
    perform pgpipe_internal.require_page(k, skip);
    return query execute pgpipe_internal.fill($sql$
        with ranked as (
            select near.*, row_number() over (order by near.score desc, near.key)::int as rank
              from pgpipe_internal.rank_vector($1, $2, $3 + $4, $5, $6) near
        ), page as materialized (select * from ranked where ranked.rank > $4)
        select page.key, page.score, page.rank, {passage}, {row}
          from page join {target} t on {same_row}
         order by page.rank
        $sql$, jsonb_build_object(
            'target', target,
            'passage', pgpipe_internal.passage_expression(declared, 'page'),
            'row', pgpipe_internal.row_expression(target, 't'),
            'same_row', pgpipe_internal.key_match(target, declared.key_columns, 't', 'page.key')))
        using target, query, k, skip, filter, declared.name;
end
$$;
comment on function pgpipe.vector_search(regclass, vector, int, jsonb, int, text) is
    'The k rows nearest to a vector by meaning, after the first `skip`. Columns: key, score '
    '(cosine similarity), vector_rank, passage (the best chunk), row. Each row once. It searches '
    'the active embedding, or the one that `embedding` names. '
    'Example: select key, score, passage from pgpipe.vector_search(''article'', :vector, '
    'filter => ''{"year": {"gte": 2020}}'')';

drop function if exists pgpipe.hybrid_search(
    regclass, text, vector, int, jsonb, float8, float8, int, int, int, boolean, text);

create or replace function pgpipe.hybrid_search(
    target regclass, query text, query_vector vector, k int default 10, filter jsonb default null,
    text_weight double precision default 1, vector_weight double precision default 1,
    rrf_k int default null, candidates int default 100, skip int default 0,
    prefix boolean default false, embedding text default null, fuzzy boolean default true)
    returns table (key jsonb, score double precision, text_rank int, vector_rank int, passage text,
                   "row" jsonb, corrected text)
    stable rows 10
    set search_path = pg_catalog, pg_temp set jit = off
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    declared pgpipe.embedding := pgpipe_internal.require_embedding(target, embedding);
    languages regconfig[] := pgpipe_internal.search_languages(target);
    better text := pgpipe_internal.corrected_question(target, languages, query, prefix, fuzzy);
begin
    perform pgpipe_internal.require_page(k, skip);
    perform pgpipe_internal.require_weights(text_weight, vector_weight, rrf_k);
    return query execute pgpipe_internal.fill($sql$
        with page as materialized (
            select * from pgpipe_internal.rank_hybrid(
                              $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $13)
        )
        select page.key, page.score, page.text_rank, page.vector_rank,
               case when page.text_rank is not null then {headline} else {passage} end, {row}, $14
          from page join {target} t on {same_row}
         order by page.score desc, page.key
        $sql$, jsonb_build_object(
            'target', target,
            'headline', pgpipe_internal.headline_expression(target, 't', '$12'),
            'passage', pgpipe_internal.passage_expression(declared, 'page'),
            'row', pgpipe_internal.row_expression(target, 't'),
            'same_row', pgpipe_internal.key_match(target, declared.key_columns, 't', 'page.key')))
        using target, coalesce(better, query), query_vector, k, candidates, filter, text_weight,
              vector_weight, rrf_k, skip, prefix, pgpipe_internal.asked_words(
                  languages, coalesce(better, query), prefix), declared.name, better;
end
$$;
comment on function pgpipe.hybrid_search(
    regclass, text, vector, int, jsonb, double precision, double precision, int, int, int, boolean,
    text, boolean) is
    'The k best rows by words and by meaning together, after the first `skip`, the filter applied '
    'inside both. Scores of the `candidates` best of each are brought to a scale from 0 to 1, '
    'weighted and added. With `rrf_k` (60, say) 1 / (rrf_k + rank) is in place of them: reciprocal '
    'rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009). Both ranks are returned; null for a row '
    'that is not in that list. Pages are of one list as long as k and candidates stay the same, '
    'and end with the candidates. `corrected` is as in text_search; the vector stays as given. '
    'Example: select key, score, "row" from pgpipe.hybrid_search(''article'', '
    '''compress a file'', :vector, k => 5)';
