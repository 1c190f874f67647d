-- requires: vector
-- Facets over what is nearest by meaning. Applied once pgvector is installed.

create or replace function pgpipe.hybrid_facets(
    target regclass, query text, query_vector vector, columns jsonb, filter jsonb default null,
    k int default 10, candidates int default 100, prefix boolean default false,
    embedding text default null, fuzzy boolean default true)
    returns table (facet text, value text, "rows" bigint, exact boolean, as_filter jsonb)
    volatile rows 50
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    part record;
    made record;
begin
    perform pgpipe_internal.require_page(k, 0);
    for part in
        select array_agg(asked.facet order by asked.place) as facets,
               array_agg(asked.bounds order by asked.place) as bounds,
               filter - asked.own as condition
          from (select known.*, case when filter ? known.facet then known.facet else '' end as own
                  from pgpipe_internal.facet_bounds(columns) known) asked
         group by asked.own order by min(asked.place)
    loop
        made := pgpipe_internal.candidate_facets(
            target, part.facets, part.bounds, k, candidates, pgpipe_internal.candidate_keys(
                target, query, query_vector, candidates, part.condition, prefix, embedding, fuzzy));
        return query
        select each.facet, each.value, each.rows, made.exact, each.as_filter
          from jsonb_to_recordset(made.counted)
               each (facet text, value text, rows bigint, as_filter jsonb);
    end loop;
end
$$;
comment on function pgpipe.hybrid_facets(
    regclass, text, vector, jsonb, jsonb, int, int, boolean, text, boolean) is
    'As facets, over the `candidates` best rows of a hybrid search, or of a vector search without '
    'words (null). `exact` is false if there may be more rows than these. '
    'Example: select facet, value, rows from pgpipe.hybrid_facets(''article'', '
    '''compress a file'', :vector, ''["author"]'')';
