-- Lists of answers: by words, and two lists together. 61_vector_search.sql has the one by meaning.

create or replace function pgpipe_internal.list_text(
    target regclass, query text, wanted int, filter jsonb, prefix boolean,
    ranking jsonb default null)
    returns pgpipe_internal.listed[]
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    return array(
        select row(found.key, found.score, found.score, found.rank, null, null, null, null, null,
                   null, null, null)::pgpipe_internal.listed
          from pgpipe_internal.rank_text(target, query, wanted, filter, prefix, ranking)
               with ordinality found (key, score, rank)
         order by found.rank);
end
$$;
comment on function pgpipe_internal.list_text(regclass, text, int, jsonb, boolean, jsonb) is
    'The best rows by words, in the order of their score, then of their key.';

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

create or replace function pgpipe_internal.fuse_lists(
    by_words pgpipe_internal.listed[], by_meaning pgpipe_internal.listed[], room int,
    text_weight float8 default 1, vector_weight float8 default 1, rrf_k int default null)
    returns pgpipe_internal.listed[]
    immutable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    return array(
        with words as (
            select listed.*, max(listed.score) over () as best,
                   -- If the list has room for more, all other rows hold none of the words.
                   case when count(*) over () < room then 0
                        else min(listed.score) over () end as least
              from unnest(by_words) listed
        ), meaning as (
            select near.*, max(near.score) over () as best, min(near.score) over () as least
              from unnest(by_meaning) near
        ), shared as (
            select coalesce(words.key, meaning.key) as key, words.text_score, words.text_rank,
                   -- What only lacks an excluded word has its place by its key.
                   case when words.best = 0 then 0 else
                        coalesce(1.0::float8 / (rrf_k + words.text_rank),
                                 (words.score - words.least) / nullif(words.best - words.least, 0),
                                 case when words.key is not null then 1 end) end as text_share,
                   meaning.vector_score, meaning.vector_rank,
                   coalesce(1.0::float8 / (rrf_k + meaning.vector_rank),
                            (meaning.score - meaning.least)
                            / nullif(meaning.best - meaning.least, 0),
                            case when meaning.key is not null then 1 end) as vector_share,
                   meaning.content_hash, meaning.char_start, meaning.char_end
              from words full join meaning on meaning.key = words.key
        ), scored as (
            select *, coalesce(text_weight * text_share, 0)
                      + coalesce(vector_weight * vector_share, 0) as score from shared
        )
        select row(key, score, text_score, text_rank, text_share, vector_score, vector_rank,
                   vector_share, content_hash, char_start, char_end, null)::pgpipe_internal.listed
          from scored order by score desc, key);
end
$$;
comment on function pgpipe_internal.fuse_lists(
    pgpipe_internal.listed[], pgpipe_internal.listed[], int, float8, float8, int) is
    'Two lists, each with room for so many rows, as one. A share is a score on a scale from the '
    'last of its list to the best, or 1 / (rrf_k + rank); the new score is their weighted sum. '
    'Nothing in a list whose best score is 0 has a share by words.';
