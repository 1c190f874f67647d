-- requires: vector
-- How well a vector index still serves: what updates do to it, measured. Applied once pgvector is
-- installed.

create or replace function pgpipe_internal.serving_index(declared pgpipe.embedding)
    returns regclass  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select min(known.index::oid)::regclass
      from pgpipe_internal.vector_indexes(declared.store) known
     where known.valid and known.method = 'hnsw'
       and known.holds = pgpipe_internal.wanted_precision(declared)
$$;
comment on function pgpipe_internal.serving_index(pgpipe.embedding) is
    'The vector index in the precision that is declared; null until it is built.';

create or replace function pgpipe_internal.is_measure_due(embedding_id int, every interval)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select not exists (
               select from pgpipe.index_health health
                where health.embedding_id = e.embedding_id and health.measured_at > now() - every
                  and health.file = pg_catalog.pg_relation_filenode(serving))
      from pgpipe.embedding e cross join pgpipe_internal.serving_index(e) serving
     where e.embedding_id = is_measure_due.embedding_id and serving <> 0::regclass
$$;
comment on function pgpipe_internal.is_measure_due(int, interval) is
    'Whether the vector index was built since it was measured, or that is longer ago than `every`. '
    'Null if there is none.';

create or replace function pgpipe_internal.found_of_nearest(
    declared pgpipe.embedding, question vector, out hits int, out wanted int)
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    k constant int := 10;
    candidates constant int := pgpipe_internal.index_candidates(
        pgpipe_internal.served_precision(declared), k);
    statement constant text :=
        'select array_agg(near.distance order by near.distance) from (%s) near';
    truth float8[];
    answer float8[];
begin
    execute format(statement, pgpipe_internal.nearest_statement(declared, null, false, true, null))
       into truth using question, k;
    execute format(statement, pgpipe_internal.nearest_statement(declared, null, false, false, null))
       into answer using question, k, candidates;
    wanted := cardinality(truth);
    -- One as near as the last of them is as good.
    select least(count(*), wanted) into hits from unnest(answer) distance
     where distance <= truth[wanted] + 1e-7;
end
$$;
comment on function pgpipe_internal.found_of_nearest(pgpipe.embedding, vector) is
    'How many of the ten chunks that are nearest to a vector the index finds.';

create or replace function pgpipe_internal.note_health(
    embedding_id int, index regclass, rows bigint, recall double precision)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language sql
as $$
    insert into pgpipe.index_health as known (
        embedding_id, file, rows, bytes, recall, fresh_rows, fresh_bytes, fresh_recall)
    select note_health.embedding_id, pg_catalog.pg_relation_filenode(index), note_health.rows,
           size.bytes, note_health.recall, note_health.rows, size.bytes, note_health.recall
      from pg_catalog.pg_relation_size(index) size (bytes)
        on conflict on constraint index_health_pkey do update
       set file = excluded.file, measured_at = excluded.measured_at, rows = excluded.rows,
           bytes = excluded.bytes, recall = excluded.recall,
           fresh_rows = case when known.file = excluded.file then known.fresh_rows
                             else excluded.rows end,
           fresh_bytes = case when known.file = excluded.file then known.fresh_bytes
                              else excluded.bytes end,
           fresh_recall = case when known.file = excluded.file then known.fresh_recall
                               else excluded.recall end
$$;
comment on function pgpipe_internal.note_health(int, regclass, bigint, double precision) is
    'Notes what was measured of a vector index. The first measurement after a build stays, as what '
    'later ones are compared with.';

create or replace function pgpipe_internal.is_readable_store(declared pgpipe.embedding)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select pgpipe_internal.is_store(declared.store, declared)
       and not row_security_active(declared.store)
       and not pgpipe_internal.runs_code(declared.store)
       and has_table_privilege(declared.store, 'select')
$$;
comment on function pgpipe_internal.is_readable_store(pgpipe.embedding) is
    'Whether the caller sees all rows of a store, and nothing runs that its owner put on it.';

create or replace function pgpipe_internal.measure_index(embedding_id int, sample int default 20)
    returns boolean
    volatile strict  set search_path = pg_catalog, pg_temp set jit = off
    set hnsw.iterative_scan = 'relaxed_order' set hnsw.ef_search = 400
    set random_page_cost = 1.1 set max_parallel_workers_per_gather = 0
    language plpgsql
as $$
declare
    e pgpipe.embedding;
    serving regclass;
    taken record;
begin
    select * into strict e from pgpipe.embedding d where d.embedding_id = $1;
    serving := pgpipe_internal.serving_index(e);
    if serving is null or not pgpipe_internal.is_readable_store(e) then
        return false;
    end if;
    execute pgpipe_internal.fill($sql$
        with sampled as materialized (
            select store.vector::{schema}.vector as vector
              from {store} store tablesample system ({percent})
             where store.vector operator({schema}.<=>) store.vector < 'NaN'
             order by random() limit $1
        )
        select (select count(*) from {store}) as rows, sum(looked.hits) as hits,
               sum(looked.wanted) as wanted
          from sampled
         cross join lateral pgpipe_internal.found_of_nearest($2, sampled.vector) looked
        $sql$, jsonb_build_object(
            'schema', quote_ident(pgpipe_internal.vector_schema()), 'store', e.store,
            'percent', pgpipe_internal.sampled_percent(e.store, 10 * sample)))
       into taken using sample, e;
    if coalesce(taken.wanted, 0) = 0 then
        return false;
    end if;
    perform pgpipe_internal.note_health(e.embedding_id, serving, taken.rows,
                                        taken.hits::float8 / taken.wanted);
    return true;
end
$$;
comment on function pgpipe_internal.measure_index(int, int) is
    'Measures the vector index of an embedding, and notes it in pgpipe.index_health: of a sample '
    'of stored vectors, how many of the ten nearest chunks the index finds, by reading every '
    'vector as often as there are in the sample. False if there is nothing to measure, or the '
    'caller may not.';
