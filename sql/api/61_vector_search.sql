-- requires: vector
-- Vector and hybrid search. Applied once pgvector is installed.

create or replace function pgpipe.vector_search(
    target regclass, query vector, k int default 10, filter jsonb default null, skip int default 0,
    embedding text default null, options jsonb default null)
    returns table (key jsonb, score double precision, vector_rank int, title text,
                   passage text, "row" jsonb, details jsonb)
    stable rows 10
    set search_path = pg_catalog, pg_temp set jit = off
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    chosen constant jsonb := pgpipe_internal.search_options(options);
    declared pgpipe.embedding := pgpipe_internal.require_embedding(target, embedding);
    clock timestamptz[] := array[clock_timestamp()];
    found pgpipe_internal.listed[];
begin
    perform pgpipe_internal.require_page(k, skip);
    found := pgpipe_internal.list_vector(
        target, query, pgpipe_internal.pool(chosen, k + skip, 100), filter, declared.name);
    clock := clock || clock_timestamp();
    found := pgpipe_internal.arrange_hits(target, declared.key_columns, found, chosen);
    clock := clock || clock_timestamp();
    return query
    select hit.key, hit.score, hit.vector_rank, hit.title, hit.passage, hit."row",
           pgpipe_internal.with_times(hit.details, '{vector,boosts,passages}', clock)
      from pgpipe_internal.show_hits(
               target, found[skip + 1 : skip + k], null, declared, chosen,
               pgpipe_internal.explained_question(chosen, target, null, false)) hit;
end
$$;
comment on function pgpipe.vector_search(
    regclass, vector, int, jsonb, int, text, jsonb) is
    'The k rows nearest to a vector by meaning, after the first `skip`. Columns: key, score '
    '(cosine similarity), vector_rank, title, passage (the best chunk), row, details. Each row '
    'once. It searches the active embedding, or the one that `embedding` names. `options` are '
    'as for text_search. '
    'Example: select key, score, passage from pgpipe.vector_search(''article'', :vector, '
    'filter => ''{"year": {"gte": 2020}}'')';

create or replace function pgpipe.hybrid_search(
    target regclass, query text, query_vector vector, k int default 10, filter jsonb default null,
    text_weight double precision default null, vector_weight double precision default null,
    rrf_k int default null, candidates int default 100, skip int default 0,
    prefix boolean default false, embedding text default null, fuzzy boolean default true,
    options jsonb default null)
    returns table (key jsonb, score double precision, text_rank int, vector_rank int, title text,
                   passage text, "row" jsonb, corrected text, details jsonb)
    stable rows 10
    set search_path = pg_catalog, pg_temp set jit = off
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    chosen constant jsonb := pgpipe_internal.search_options(options);
    declared pgpipe.embedding := pgpipe_internal.require_embedding(target, embedding);
    serving constant pgpipe.search := pgpipe_internal.require_search(target);
    languages regconfig[] := pgpipe_internal.search_languages(target);
    understood record := pgpipe_internal.understand(target, languages, query, prefix, fuzzy);
    listed record;
begin
    perform pgpipe_internal.require_page(k, skip);
    text_weight := coalesce(text_weight, serving.text_weight);
    vector_weight := coalesce(vector_weight, serving.vector_weight);
    perform pgpipe_internal.require_weights(text_weight, vector_weight, rrf_k);
    listed := pgpipe_internal.list_hybrid(
        target, understood.asked, query_vector, greatest(candidates, k), filter, prefix,
        declared.name, text_weight, vector_weight, rrf_k, chosen);
    return query
    select hit.key, hit.score, hit.text_rank, hit.vector_rank, hit.title, hit.passage, hit."row",
           understood.corrected, pgpipe_internal.with_times(
               hit.details, '{text,vector,boosts,passages}', listed.clock)
      from pgpipe_internal.show_hits(
               target, listed.hits[skip + 1 : skip + k],
               pgpipe_internal.asked_words(target, understood.asked, prefix), declared, chosen,
               pgpipe_internal.explained_question(
                   chosen, target, understood.asked, prefix, text_weight, vector_weight)) hit;
end
$$;
comment on function pgpipe.hybrid_search(
    regclass, text, vector, int, jsonb, double precision, double precision, int, int, int, boolean,
    text, boolean, jsonb) is
    'The k best rows by words and by meaning together, after the first `skip`, the filter applied '
    'inside both. Scores of the `candidates` best of each are brought to a scale from 0 to 1, '
    'weighted and added. Weights that are not given are those of set_ranking. '
    'With `rrf_k` (60, say) 1 / (rrf_k + rank) is in place of them: reciprocal '
    'rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009). Both ranks are returned; null for a row '
    'that is not in that list. Pages are of one list as long as k and candidates stay the same, '
    'and end with the candidates. `corrected` is as in text_search; the vector stays as given. '
    '`options` are as for text_search. '
    'Example: select key, score, title, passage from pgpipe.hybrid_search(''article'', '
    '''compress a file'', :vector, k => 5)';
