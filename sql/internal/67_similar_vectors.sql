-- requires: vector
-- More like this, by the vectors of a row. Applied once pgvector is installed.

create or replace function pgpipe_internal.own_vector(declared pgpipe.embedding, key jsonb)
    returns vector  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    mean real[];
begin
    execute pgpipe_internal.fill($sql$
        select {schema}.avg(store.vector)::{schema}.vector::real[] from {store} store
         where {same_row}
        $sql$, jsonb_build_object(
            'schema', quote_ident(pgpipe_internal.vector_schema()), 'store', declared.store,
            'same_row', pgpipe_internal.key_match(
                declared.target, declared.key_columns, 'store', '$1'))) into mean using key;
    return case when pgpipe_internal.has_direction(mean, declared.store_precision = 'half')
                then mean end;
end
$$;
comment on function pgpipe_internal.own_vector(pgpipe.embedding, jsonb) is
    'The mean of the vectors that a row has; null if it has none.';

create or replace function pgpipe_internal.list_like(
    declared pgpipe.embedding, key jsonb, wanted int, filter jsonb)
    returns pgpipe_internal.listed[]
    stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case when own is not null then pgpipe_internal.list_vector(
               declared.target, own, wanted, filter, declared.name) end
      from pgpipe_internal.own_vector(declared, key) own
$$;
comment on function pgpipe_internal.list_like(pgpipe.embedding, jsonb, int, jsonb) is
    'The rows nearest to a row, itself among them; null if it has no vectors.';

create or replace function pgpipe_internal.as_vector(parts real[])
    returns vector  immutable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$ begin return parts; end $$;
comment on function pgpipe_internal.as_vector(real[]) is
    'Numbers as a vector, where no search_path finds the type.';

create or replace function pgpipe_internal.list_shared(
    target regclass, query text, vector real[], room int, filter jsonb)
    returns pgpipe_internal.listed[]
    stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case when query is not null
           then (select (pgpipe_internal.list_hybrid(
                            target, query, given, room, filter, false, null,
                            coalesce(serving.text_weight / nullif(both_weights, 0), 0.5),
                            coalesce(serving.vector_weight / nullif(both_weights, 0), 0.5))).hits
                   from pgpipe_internal.require_search(target) serving
                  cross join lateral (select serving.text_weight + serving.vector_weight)
                                     together (both_weights))
           else pgpipe_internal.fuse_lists(
                    '{}', pgpipe_internal.list_vector(target, given, room, filter, null), room) end
      from pgpipe_internal.as_vector(vector) given
$$;
comment on function pgpipe_internal.list_shared(regclass, text, real[], int, jsonb) is
    'The best rows by words and meaning, or by meaning alone, scored by shares from 0 to 1.';
