-- requires: vector
-- Vector and hybrid search. Applied once pgvector is installed.

create or replace function pgpipe.vector_search(
    target regclass, query vector, k int default 10, filter jsonb default null, skip int default 0, embedding text default null)
    returns table (key jsonb, score double precision, vector_rank int, passage text, "row" jsonb)
    stable rows 10
    set search_path = pg_catalog, pg_temp set jit = off
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    e pgpipe.embedding := pgpipe_internal.require_embedding(target, embedding);
begin
    perform pgpipe_internal.require_page(k, skip);
    return query execute format($sql$
        with ranked as (
            select r.*, row_number() over (order by r.score desc, r.key)::int as rank
              from pgpipe_internal.rank_vector($1, $2, $3 + $4, $5, $6) r
        ), page as materialized (select * from ranked r where r.rank > $4)
        select p.key, p.score, p.rank, %s, %s
          from page p join %s t on %s
         order by p.rank
        $sql$, pgpipe_internal.passage_expression(e, 'p'), pgpipe_internal.row_expression(target, 't'), target,
        pgpipe_internal.key_match(target, e.key_columns, 't', 'p.key'))
        using target, query, k, skip, filter, e.name;
end
$$;
comment on function pgpipe.vector_search(regclass, vector, int, jsonb, int, text) is
    'The k rows nearest to a vector by meaning, after the first `skip`. Columns: key, score '
    '(cosine similarity), vector_rank, passage (the best chunk), row. Each row once. It searches '
    'the active embedding, or the one that `embedding` names. '
    'Example: select key, score, passage from pgpipe.vector_search(''article'', :vector, '
    'filter => ''{"year": {"gte": 2020}}'')';

create or replace function pgpipe.hybrid_search(target regclass, query text, query_vector vector, k int default 10,
    filter jsonb default null, text_weight double precision default 1, vector_weight double precision default 1,
    rrf_k int default null, candidates int default 100, skip int default 0, prefix boolean default false, embedding text default null)
    returns table (key jsonb, score double precision, text_rank int, vector_rank int, passage text, "row" jsonb)
    stable rows 10
    set search_path = pg_catalog, pg_temp set jit = off
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    e pgpipe.embedding := pgpipe_internal.require_embedding(target, embedding);
    languages regconfig[] := pgpipe_internal.search_languages(target);
begin
    perform pgpipe_internal.require_page(k, skip);
    if (text_weight between 0 and 1e6 and vector_weight between 0 and 1e6 and coalesce(rrf_k, 0) >= 0) is not true then
        raise exception 'weights are numbers from 0 to a million, rrf_k one from 0 on, not %, % and %', text_weight, vector_weight, rrf_k
            using errcode = 'PP003';
    end if;
    return query execute format($sql$
        with words as (
            select w.key, w.rank, coalesce(1.0::float8 / ($9 + w.rank), (w.score - w.least) / nullif(w.best - w.least, 0), 1) as share
              from (select r.key, r.rank::int, r.score, max(r.score) over () as best,
                           -- Where the list has room for more, all other rows hold none of the words.
                           case when count(*) over () < greatest($5, $4) then 0 else min(r.score) over () end as least
                      from pgpipe_internal.rank_text($1, $2, greatest($5, $4), $6, $11) with ordinality r (key, score, rank)) w
        ), meaning as (
            select m.*, coalesce(1.0::float8 / ($9 + m.rank), (m.score - m.least) / nullif(m.best - m.least, 0), 1) as share
              from (select r.*, row_number() over (order by r.score desc, r.key)::int as rank,
                           max(r.score) over () as best, min(r.score) over () as least
                      from pgpipe_internal.rank_vector($1, $3, greatest($5, $4), $6, $13) r) m
        ), fused as (
            select coalesce(w.key, m.key) as key, w.rank as text_rank, m.rank as vector_rank,
                   coalesce($7 * w.share, 0) + coalesce($8 * m.share, 0) as score, m.content_hash, m.char_start, m.char_end
              from words w full join meaning m on m.key = w.key
        ), page as materialized (select * from fused f order by f.score desc, f.key limit $4 offset $10)
        select p.key, p.score, p.text_rank, p.vector_rank, case when p.text_rank is not null then %s else %s end, %s
          from page p join %s t on %s
         order by p.score desc, p.key
        $sql$, pgpipe_internal.headline_expression(target, 't', '$12'), pgpipe_internal.passage_expression(e, 'p'), pgpipe_internal.row_expression(target, 't'),
        target, pgpipe_internal.key_match(target, e.key_columns, 't', 'p.key'))
        using target, query, query_vector, k, candidates, filter, text_weight, vector_weight, rrf_k, skip, prefix,
              pgpipe_internal.asked_words(languages, query, prefix), e.name;
end
$$;
comment on function pgpipe.hybrid_search(regclass, text, vector, int, jsonb, double precision, double precision, int, int, int, boolean,
    text) is
    'The k best rows by words and by meaning together, after the first `skip`, the filter applied inside both. Scores of the `candidates` '
    'best of each are brought to a scale from 0 to 1, weighted and added. With `rrf_k` (60, say) 1 / (rrf_k + rank) is in place of them: '
    'reciprocal rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009). Both ranks are returned; null where a row is not in that '
    'list. Pages are of one list as long as k and candidates stay the same, and end with the candidates. '
    'Example: select key, score, "row" from pgpipe.hybrid_search(''article'', '
    '''compress a file'', :vector, k => 5)';
