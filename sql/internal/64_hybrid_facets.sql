-- requires: vector
-- Facets over candidates: every row is near to a vector, so those that a search would rank count.
-- Applied once pgvector is installed.

create or replace function pgpipe_internal.candidate_keys(
    target regclass, query text, query_vector vector, candidates int, filter jsonb, prefix boolean,
    embedding text, fuzzy boolean)
    returns jsonb[]  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if query is null then
        return array(select near.key from pgpipe_internal.rank_vector(
                                target, query_vector, candidates, filter, embedding) near);
    end if;
    query := (pgpipe_internal.understand(
        target, pgpipe_internal.search_languages(target), query, prefix, fuzzy)).asked;
    return array(
        select found.key
          from unnest((pgpipe_internal.list_hybrid(
                   target, query, query_vector, candidates, filter, prefix,
                   embedding)).hits[:candidates]) found);
end
$$;
comment on function pgpipe_internal.candidate_keys(
    regclass, text, vector, int, jsonb, boolean, text, boolean) is
    'The keys of the rows that are best by words and meaning, or by meaning alone.';

create or replace function pgpipe_internal.candidate_facets(
    target regclass, facets text[], bounds jsonb[], k int, candidates int, keys jsonb[],
    out counted jsonb, out exact boolean)
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    counted := (pgpipe_internal.count_facets(
        target, facets, bounds,
        format('unnest($3) candidate (key) join %s row on %s', target, pgpipe_internal.key_match(
                   target, pgpipe_internal.require_key(target), 'row', 'candidate.key')),
        'true', k, null, keys)).counted;
    exact := cardinality(keys) < candidates;
end
$$;
comment on function pgpipe_internal.candidate_facets(
    regclass, text[], jsonb[], int, int, jsonb[]) is
    'Counts facets over the rows of these keys.';
