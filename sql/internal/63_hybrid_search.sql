-- requires: vector
-- Search by words and by meaning together. Applied once pgvector is installed.

create or replace function pgpipe_internal.require_weights(
    text_weight double precision, vector_weight double precision, rrf_k int)
    returns void  immutable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if (text_weight between 0 and 1e6 and vector_weight between 0 and 1e6
        and coalesce(rrf_k, 0) >= 0) is not true then
        raise exception 'weights are numbers from 0 to a million, rrf_k one from 0 on, not %, % '
                        'and %', text_weight, vector_weight, rrf_k using errcode = 'PP003';
    end if;
end
$$;
comment on function pgpipe_internal.require_weights(double precision, double precision, int) is
    'Raises PP003 for weights that a hybrid search cannot use.';

create or replace function pgpipe_internal.rank_hybrid(
    target regclass, query text, query_vector vector, k int, candidates int, filter jsonb,
    text_weight float8, vector_weight float8, rrf_k int, skip int, prefix boolean, embedding text)
    returns table (key jsonb, score float8, text_rank int, vector_rank int, content_hash bytea,
                   char_start int, char_end int)
    stable rows 10  set search_path = pg_catalog, pg_temp  language sql
as $$
    with listed as (
        select found.key, found.rank::int, found.score, max(found.score) over () as best,
               -- If the list has room for more, all other rows hold none of the words.
               case when count(*) over () < greatest(candidates, k) then 0
                    else min(found.score) over () end as least
          from pgpipe_internal.rank_text(target, query, greatest(candidates, k), filter, prefix)
               with ordinality found (key, score, rank)
    ), near as (
        select found.*, row_number() over (order by found.score desc, found.key)::int as rank,
               max(found.score) over () as best, min(found.score) over () as least
          from pgpipe_internal.rank_vector(
                   target, query_vector, greatest(candidates, k), filter, embedding) found
    ), words as (
        select listed.*, coalesce(1.0::float8 / (rrf_k + listed.rank),
                                  (listed.score - listed.least)
                                  / nullif(listed.best - listed.least, 0), 1) as share
          from listed
    ), meaning as (
        select near.*, coalesce(1.0::float8 / (rrf_k + near.rank),
                                (near.score - near.least)
                                / nullif(near.best - near.least, 0), 1) as share
          from near
    )
    select coalesce(words.key, meaning.key) as key,
           coalesce(text_weight * words.share, 0) + coalesce(vector_weight * meaning.share, 0)
           as score, words.rank, meaning.rank, meaning.content_hash, meaning.char_start,
           meaning.char_end
      from words full join meaning on meaning.key = words.key
     order by 2 desc, 1 limit k offset skip
$$;
comment on function pgpipe_internal.rank_hybrid(
    regclass, text, vector, int, int, jsonb, float8, float8, int, int, boolean, text) is
    'The k best rows of the lists of rank_text and rank_vector together, after the first `skip`, '
    'with both ranks and the best chunk. `share` is a score on a scale from the last of its list '
    'to the best, or 1 / (rrf_k + rank).';
