-- requires: vector
-- Judgements of hybrid searches. Applied once pgvector is installed.

create or replace function pgpipe_internal.try_weights(
    target regclass, query text, query_vector vector, embedding text, ranking jsonb, wanted int,
    weights jsonb)
    returns table (place bigint, keys jsonb[])
    stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    with list as materialized (
        select pgpipe_internal.try_ranking(target, query, ranking, wanted) as words,
               pgpipe_internal.list_vector(target, query_vector, wanted, null, embedding) as near
    )
    select given.place, pgpipe_internal.row_keys((pgpipe_internal.fuse_lists(
               list.words, list.near, wanted, (given.pair ->> 0)::float8,
               (given.pair ->> 1)::float8))[:wanted])
      from list cross join jsonb_array_elements(weights) with ordinality given (pair, place)
$$;
comment on function pgpipe_internal.try_weights(
    regclass, text, vector, text, jsonb, int, jsonb) is
    'The best rows by words and meaning, for each pair of weights of these two.';
