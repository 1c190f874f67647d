-- requires: vector
-- Search by meaning. Applied once pgvector is installed.

create or replace function pgpipe_internal.scan_is_exact(
    declared pgpipe.embedding, condition text, wanted int, kept jsonb default null)
    returns boolean  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    -- In µs of the server's CPU, on one core of an AMD EPYC and a million vectors of 128
    -- dimensions that lie in memory: `make bench-search`, with ROWS=1000000 and DIMS=128.
    visit constant double precision := 20;   -- A step of the walk meets one more row in 20 µs.
    compare constant double precision := 5;  -- To fetch a row and its vector, and compare it: 5 µs.
    in_index constant double precision := 0.4;  -- To compare one that lies in an index: 0.4 µs.
    unit constant double precision := 0.6;   -- One of the planner's units is 0.6 µs.
    -- Below 5 % of the rows the walk also misses more of the nearest: 2 % of them at 5 % of the
    -- rows, 5 % at 2 %, 13 % at 1 %. So its price rises.
    rare constant double precision := 0.05;
    passing record;
    price double precision;
    vectors double precision := (select greatest(class.reltuples, 1) from pg_catalog.pg_class class
                                  where class.oid = declared.store);
    rows double precision := greatest(pgpipe_internal.known_rows(declared.target), 1);
begin
    if pgpipe_internal.served_precision(declared) is null then
        return true;
    elsif condition is null then
        return false;
    elsif kept is not null then
        passing := pgpipe_internal.estimate(
            declared.filter_table, pgpipe_internal.filter_condition(declared.target, 'row', kept));
        price := unit * passing.cost + in_index * passing.rows;
    end if;
    passing := pgpipe_internal.estimate(declared.target, condition);
    price := coalesce(price, unit * passing.cost
                             + compare * passing.rows * greatest(vectors / rows, 1));
    -- The graph is walked until enough of what it meets passes; the other way compares all that
    -- passes.
    return price < visit * wanted * rows / greatest(passing.rows, 1)
                   * (1 + rare * rows / greatest(passing.rows, 1));
end
$$;
comment on function pgpipe_internal.scan_is_exact(pgpipe.embedding, text, int, jsonb) is
    'Whether to compare every vector that a condition (null: none) leaves instead of walking the '
    'index: few are left, or there is none. `kept` is the part of the filter that the filter table '
    'answers.';

create or replace function pgpipe_internal.nearest_statement(
    declared pgpipe.embedding, filter jsonb, filtered boolean, exact boolean, kept jsonb)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    holds constant text := case when not exact then pgpipe_internal.served_precision(declared) end;
    question constant text := pgpipe_internal.asked_vector(declared);
    source text := format('%s store', declared.store);
begin
    if exact and kept is not null then
        source := format('(%s) nearest join %s on %s and store.chunk = nearest.chunk',
                         pgpipe_internal.kept_statement(declared, filter, kept), source,
                         pgpipe_internal.same_key(
                             declared.target, declared.key_columns, 'store', 'nearest'));
    elsif filtered then
        source := format('%s join %s row on %s where %s', source, declared.target,
                         pgpipe_internal.same_key(
                             declared.target, declared.key_columns, 'row', 'store'),
                         pgpipe_internal.search_condition(declared.target, filter));
    end if;
    if holds <> declared.store_precision then  -- what the index finds is compared in full
        source := pgpipe_internal.candidate_rows(declared, holds, source, question);
    end if;
    return pgpipe_internal.fill($sql$
        select {key_columns}, store.char_start, store.char_end, store.content_hash,
               (store.vector operator({schema}.<=>) {question}){passed_over} as distance
          from {source}
         order by distance{tie} limit $2
        $sql$, jsonb_build_object(
            'key_columns', pgpipe_internal.numbered_list(declared.key_columns, 'store'),
            'schema', quote_ident(pgpipe_internal.vector_schema()), 'question', question,
            -- Any index on the vectors is passed over by a sum, in whose order none is.
            'passed_over', case when exact or holds <> declared.store_precision then ' + 0' end,
            'source', source,
            -- Equal vectors: the same ones every time.
            'tie', ', ' || case when exact or holds <> declared.store_precision
                           then pgpipe_internal.column_list(declared.key_columns, 'store') end));
end
$$;
comment on function pgpipe_internal.nearest_statement(
    pgpipe.embedding, jsonb, boolean, boolean, jsonb) is
    'SQL text: the $2 chunks nearest to the vector $1 of the rows that pass. It goes by the index '
    'of the store. If that holds less than the store does, it gives $3 candidates, which are '
    'compared in full. With `exact` all that pass are compared, in the filter table if that '
    'answers a part of the filter (`kept`).';

create or replace function pgpipe_internal.require_question(
    declared pgpipe.embedding, question real[])
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    dims constant int := coalesce(cardinality(question), 0);
begin
    if dims <> declared.dims then
        raise exception 'the question has % dimensions, the vectors of % have %',
            dims, declared.target, declared.dims using errcode = 'PP009',
            hint = format('They are of the model %s: compute the question''s vector with it.',
                          declared.model);
    elsif not pgpipe_internal.has_direction(question, declared.store_precision = 'half') then
        raise exception 'the question''s vector is zero or out of range, so no row is nearer to it '
                        'than another' using errcode = 'PP009',
            hint = format('The model %s makes nothing of the question: ask in other words, or '
                          'search by words alone.', declared.model);
    end if;
end
$$;
comment on function pgpipe_internal.require_question(pgpipe.embedding, real[]) is
    'Raises PP009 for a vector of another model, or one without a direction.';

create or replace function pgpipe_internal.look_near(
    declared pgpipe.embedding, statement text, condition text, query vector, chunks int,
    out seen int, out keys jsonb[], out distances double precision[], out starts int[],
    out ends int[], out hashes bytea[])
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    candidates constant int := pgpipe_internal.index_candidates(
        pgpipe_internal.served_precision(declared), chunks);
begin
    perform set_config('hnsw.ef_search', least(greatest(400, candidates), 1000)::text, true);
    execute pgpipe_internal.fill($sql$
        with nearest as materialized ({statement}), best as (
            select distinct on ({key_columns}) nearest.* from nearest
             order by {key_columns}, nearest.distance
        ), ordered as (  -- a row that is gone, or that came back with other values, takes no place
            select {key} as key, best.* from best join {target} row on {is_same} where {condition}
             order by best.distance, key
        )
        select (select count(*) from nearest), array_agg(ordered.key),
               array_agg(ordered.distance), array_agg(ordered.char_start),
               array_agg(ordered.char_end), array_agg(ordered.content_hash)
          from ordered
        $sql$, jsonb_build_object(
            'statement', statement,
            'key_columns', pgpipe_internal.number_list(declared.key_columns, 'nearest'),
            'key', pgpipe_internal.numbered_json(declared.target, declared.key_columns, 'best'),
            'target', declared.target::text, 'condition', coalesce(condition, 'true'),
            'is_same', pgpipe_internal.same_numbered(
                declared.target, declared.key_columns, 'best', 'row')))
       into seen, keys, distances, starts, ends, hashes using query, chunks, candidates;
end
$$;
comment on function pgpipe_internal.look_near(pgpipe.embedding, text, text, vector, int) is
    'What a nearest_statement finds with so many chunks: how many it saw, and of each row the best '
    'one, from the nearest on.';

create or replace function pgpipe_internal.find_near(
    declared pgpipe.embedding, query vector, k int, filter jsonb, condition text,
    out keys jsonb[], out distances double precision[], out starts int[],
    out ends int[], out hashes bytea[])
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    filtered constant boolean := condition is not null;
    kept constant jsonb := pgpipe_internal.kept_filter(declared, filter);
    -- So many to begin with: a row may have several. Behind a filter each costs the walk of all
    -- that does not pass.
    chunks int := case when filtered then ceil(1.25 * k) + 12 else 2 * k + 10 end;
    exact boolean := pgpipe_internal.scan_is_exact(
        declared, condition, pgpipe_internal.index_candidates(
            pgpipe_internal.served_precision(declared), chunks), kept);
    seen int;
begin
    loop  -- look further until there are k rows, or no more chunks
        select found.* into seen, keys, distances, starts, ends, hashes
          from pgpipe_internal.look_near(
                   declared, pgpipe_internal.nearest_statement(
                                 declared, filter, filtered, exact, kept),
                   condition, query, chunks) found;
        if seen < chunks and not exact then
            exact := true;  -- the walk was given up before it had enough
        elsif cardinality(keys) >= k or seen < chunks then
            exit;
        else
            chunks := chunks * 4;
        end if;
    end loop;
end
$$;
comment on function pgpipe_internal.find_near(pgpipe.embedding, vector, int, jsonb, text) is
    'The rows nearest to a vector, at least k if there are as many, each with its best chunk. '
    '`condition` is the filter as SQL text; null if all rows pass.';

-- Its settings: a filtered scan goes on until it has enough (iterative_scan). Rows are fetched by
-- key, not by a scan of the whole store, which is slower if a few per cent are meant
-- (random_page_cost). With an index that holds the keys, one process reads 10,000 rows in the time
-- that two take to start (parallel_setup_cost). An index of 0.1.0 serves until HNSW is built
-- (ivfflat).
create or replace function pgpipe_internal.rank_vector(
    target regclass, query vector, k int, filter jsonb default null, embedding text default null)
    returns table (key jsonb, score double precision, char_start int, char_end int,
                   content_hash bytea)
    stable rows 100
    set search_path = pg_catalog, pg_temp set jit = off
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    set hnsw.iterative_scan = 'relaxed_order' set hnsw.ef_search = 400
    set random_page_cost = 1.1 set parallel_setup_cost = 10000
    set ivfflat.iterative_scan = 'relaxed_order' set ivfflat.probes = 10
    language plpgsql
as $$
declare
    declared pgpipe.embedding := pgpipe_internal.require_embedding(target, embedding);
    condition text := pgpipe_internal.search_condition(target, filter);
    -- Rows that row level security hides are filtered too.
    filtered boolean := condition <> 'true' or row_security_active(target);
    near record;
begin
    perform pgpipe_internal.require_question(declared, query::real[]);
    near := pgpipe_internal.find_near(
        declared, query, k, filter, case when filtered then condition end);
    return query
    select best.key, 1 - best.distance, best.char_start, best.char_end, best.content_hash
      from unnest(near.keys, near.distances, near.starts, near.ends, near.hashes)
           best (key, distance, char_start, char_end, content_hash)
     where best.distance < 'Infinity' limit k;  -- the distance of a vector of zeros is NaN
end
$$;
comment on function pgpipe_internal.rank_vector(regclass, vector, int, jsonb, text) is
    'Keys of the k rows nearest to a vector, with the cosine similarity and the character range of '
    'the best chunk of each. Raises PP008 without an embedding, PP009 for a vector of another '
    'model or one of zeros, PP002 and PP003 as filter_condition.';

create or replace function pgpipe_internal.list_vector(
    target regclass, query vector, wanted int, filter jsonb, embedding text)
    returns pgpipe_internal.listed[]
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    return array(
        select row(near.key, near.score, null, null, null, near.score,
                   row_number() over (order by near.score desc, near.key), null,
                   near.content_hash, near.char_start, near.char_end,
                   null)::pgpipe_internal.listed
          from pgpipe_internal.rank_vector(target, query, wanted, filter, embedding) near
         order by near.score desc, near.key);
end
$$;
comment on function pgpipe_internal.list_vector(regclass, vector, int, jsonb, text) is
    'The rows nearest to a vector, in the order of their similarity, then of their key.';

create or replace function pgpipe_internal.list_hybrid(
    target regclass, query text, query_vector vector, room int, filter jsonb, prefix boolean,
    embedding text, text_weight float8 default null, vector_weight float8 default null,
    rrf_k int default null, options jsonb default '{}',
    out hits pgpipe_internal.listed[], out clock timestamptz[])
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    serving constant pgpipe.search := pgpipe_internal.require_search(target);
    by_words pgpipe_internal.listed[];
    by_meaning pgpipe_internal.listed[];
begin
    clock := array[clock_timestamp()];
    by_words := pgpipe_internal.list_text(target, query, room, filter, prefix);
    clock := clock || clock_timestamp();
    by_meaning := pgpipe_internal.list_vector(target, query_vector, room, filter, embedding);
    clock := clock || clock_timestamp();
    hits := pgpipe_internal.arrange_hits(
        target, (pgpipe_internal.require_embedding(target, embedding)).key_columns,
        pgpipe_internal.fuse_lists(
            by_words, by_meaning, room, coalesce(text_weight, serving.text_weight),
            coalesce(vector_weight, serving.vector_weight), rrf_k), options);
    clock := clock || clock_timestamp();
end
$$;
comment on function pgpipe_internal.list_hybrid(
    regclass, text, vector, int, jsonb, boolean, text, float8, float8, int, jsonb) is
    'The `room` best rows by words and as many by meaning, in one list, and when each of its parts '
    'began. Weights that are null are those of the target.';
