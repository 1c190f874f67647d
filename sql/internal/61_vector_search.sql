-- requires: vector
-- Search by meaning, and by words and meaning together. Applied once pgvector is installed.

create or replace function pgpipe_internal.scan_is_exact(e pgpipe.embedding, condition text, wanted int, kept jsonb default null)
    returns boolean  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    -- In µs, measured on a million vectors of 128 dimensions.
    visit constant double precision := 20;   -- a step of the walk through the graph that meets one more row
    compare constant double precision := 5;  -- fetching a row, its vector by the key, and comparing it
    beside constant double precision := 0.4; -- comparing a vector that lies in the index of a filter table
    unit constant double precision := 0.6;   -- one of the planner's units
    rare constant double precision := 0.05;  -- below this share of rows the walk also misses more of the nearest: 2 % of them at 5 %
                                             -- of the rows, 5 % at 2 %, 13 % at 1 %; so its price rises
    expected record;
    price double precision;
    vectors double precision := (select greatest(c.reltuples, 1) from pg_catalog.pg_class c where c.oid = e.store);
    rows double precision := greatest(pgpipe_internal.known_rows(e.target), 1);
begin
    if not exists (select from pg_catalog.pg_index i join pg_catalog.pg_class x on x.oid = i.indexrelid
                     join pg_catalog.pg_am m on m.oid = x.relam
                    where i.indrelid = e.store and i.indisvalid and m.amname in ('hnsw', 'ivfflat')) then
        return true;
    elsif condition is null then
        return false;
    end if;
    if kept is not null then
        expected := pgpipe_internal.estimate(e.filter_table, pgpipe_internal.filter_condition(e.target, 't', kept));
        price := unit * expected.cost + beside * expected.rows;
    end if;
    expected := pgpipe_internal.estimate(e.target, condition);
    price := coalesce(price, unit * expected.cost + compare * expected.rows * greatest(vectors / rows, 1));
    -- The graph is walked until enough of what it meets passes; the other way compares all that passes.
    return price < visit * wanted * rows / greatest(expected.rows, 1) * (1 + rare * rows / greatest(expected.rows, 1));
end
$$;
comment on function pgpipe_internal.scan_is_exact(pgpipe.embedding, text, int, jsonb) is
    'Whether to compare every vector that a condition (null: none) leaves instead of walking the index: few are left, or there is none. '
    '`kept` is the part of the filter that the filter table answers.';

create or replace function pgpipe_internal.nearest_statement(e pgpipe.embedding, filter jsonb, filtered boolean, exact boolean, kept jsonb)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    schema constant name := pgpipe_internal.vector_schema();
    store_key constant text := pgpipe_internal.column_list(e.key_columns, 's');
    -- Any index on the vectors is passed over by a sum, in whose order none is.
    distance constant text := format('(s.vector operator(%1$I.<=>) $1::%1$I.%2$s)%3$s', schema,
                                     case when e.dims > 2000 then 'halfvec' else 'vector' end, case when exact then ' + 0' else '' end);
    rest constant jsonb := filter - array(select jsonb_object_keys(kept));  -- what the target must say
    chosen constant text := format('select %s, s.char_start, s.char_end, s.content_hash, %s as distance from',
                                   pgpipe_internal.numbered_list(e.key_columns, 's'), distance);
begin
    if exact and kept is not null then
        -- Half the precision may swap neighbours: some more than are wanted are compared in full.
        return format($sql$
            %1$s (select %2$s, f.chunk from %3$s f %4$s where %5$s
                   order by (f.vector operator(%6$I.<=>) $1::%6$I.halfvec) + 0 limit $2 + 20) n
              join %7$s s on %9$s and s.chunk = n.chunk
             order by distance, %8$s limit $2
            $sql$, chosen, pgpipe_internal.column_list(e.key_columns, 'f'), e.filter_table,
            case when rest <> '{}' then format('join %s t on %s and %s', e.target,
                pgpipe_internal.same_key(e.target, e.key_columns, 't', 'f'), pgpipe_internal.filter_condition(e.target, 't', rest)) else '' end,
            pgpipe_internal.filter_condition(e.target, 'f', kept), schema, e.store, store_key,
            pgpipe_internal.same_key(e.target, e.key_columns, 's', 'n'));
    end if;
    return format('%s %s s %s order by distance%s limit $2', chosen, e.store,
                  case when filtered then format('join %s t on %s where %s', e.target, pgpipe_internal.same_key(e.target, e.key_columns, 't', 's'),
                                                 pgpipe_internal.filter_condition(e.target, 't', filter)) else '' end,
                  case when exact then ', ' || store_key else '' end);  -- equal vectors: the same ones every time
end
$$;
comment on function pgpipe_internal.nearest_statement(pgpipe.embedding, jsonb, boolean, boolean, jsonb) is
    'SQL text: the $2 chunks nearest to the vector $1 of the rows that pass. It goes by the index '
    'of the store. With `exact` all that pass are compared, in the filter table if that answers a '
    'part of the filter (`kept`).';

create or replace function pgpipe_internal.rank_vector(
    target regclass, query vector, k int, filter jsonb default null, embedding text default null)
    returns table (key jsonb, score double precision, char_start int, char_end int, content_hash bytea)
    stable rows 100
    set search_path = pg_catalog, pg_temp set jit = off
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    set hnsw.iterative_scan = 'relaxed_order' set hnsw.ef_search = 400  -- a filtered scan goes on until it has enough
    set random_page_cost = 1.1  -- rows fetched by key, not a scan of the whole store, which is slower as long as a few per cent are meant
    set parallel_setup_cost = 10000  -- with an index that holds the keys, one process reads 10,000 rows in the time that two take to start
    set ivfflat.iterative_scan = 'relaxed_order' set ivfflat.probes = 10  -- an index of 0.1.0 serves until HNSW is built
    language plpgsql
as $$
declare
    e pgpipe.embedding := pgpipe_internal.require_embedding(target, embedding);
    condition text := pgpipe_internal.filter_condition(target, 't', filter);
    -- Rows that row level security hides are filtered like any others, before the k best are counted.
    filtered boolean := condition <> 'true' or row_security_active(target);
    -- So many to begin with: a row may have several. Behind a filter each costs the walk of all that does not pass.
    chunks int := case when filtered then ceil(1.25 * k) + 12 else 2 * k + 10 end;
    kept jsonb := pgpipe_internal.kept_filter(e, filter);
    exact boolean := pgpipe_internal.scan_is_exact(e, case when filtered then condition end, chunks, kept);
    seen int;
    keys jsonb[];
    distances double precision[];
    starts int[];
    ends int[];
    hashes bytea[];
begin
    if coalesce(cardinality(query::real[]), 0) <> e.dims then
        raise exception 'the question has % dimensions, the vectors of % have %', coalesce(cardinality(query::real[]), 0), target, e.dims
            using errcode = 'PP009', hint = format('They are of the model %s: compute the question''s vector with it.', e.model);
    elsif not pgpipe_internal.has_direction(query::real[], e.dims > 2000) then
        raise exception 'the question''s vector is zero or out of range, so no row is nearer to it than another'
            using errcode = 'PP009',
            hint = format('The model %s makes nothing of the question: ask in other words, or search by words alone.', e.model);
    end if;
    loop  -- look further until there are k rows, or no more chunks
        perform set_config('hnsw.ef_search', least(greatest(400, chunks), 1000)::text, true);
        execute format($sql$
            with nearest as materialized (%s), best as (
                select distinct on (%s) n.* from nearest n order by %s, n.distance
            ), ordered as (
                select %s as key, b.* from best b order by b.distance, key
            )
            select (select count(*) from nearest), array_agg(o.key), array_agg(o.distance), array_agg(o.char_start),
                   array_agg(o.char_end), array_agg(o.content_hash)
              from ordered o
            $sql$, pgpipe_internal.nearest_statement(e, filter, filtered, exact, kept), pgpipe_internal.number_list(e.key_columns, 'n'),
            pgpipe_internal.number_list(e.key_columns, 'n'), pgpipe_internal.numbered_json(target, e.key_columns, 'b'))
            into seen, keys, distances, starts, ends, hashes using query, chunks;
        if seen < chunks and not exact then
            exact := true;  -- the walk was given up before it had enough
        elsif cardinality(keys) >= k or seen < chunks then
            exit;
        else
            chunks := chunks * 4;
        end if;
    end loop;
    return query select b.key, 1 - b.distance, b.char_start, b.char_end, b.content_hash
                   from unnest(keys, distances, starts, ends, hashes) b (key, distance, char_start, char_end, content_hash)
                  where b.distance < 'Infinity' limit k;  -- a vector of zeros has no direction: its distance is NaN
end
$$;
comment on function pgpipe_internal.rank_vector(regclass, vector, int, jsonb, text) is
    'Keys of the k rows nearest to a vector, with the cosine similarity and the character range of the best chunk of each. '
    'Raises PP008 without an embedding, PP009 for a vector of another model or one of zeros, PP002 and PP003 as filter_condition.';

create or replace function pgpipe_internal.passage_expression(e pgpipe.embedding, chunk text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case when exists (select from unnest(e.columns) c where not has_column_privilege(e.target, c::text, 'select')) then 'null::text'
           -- A row that changed since it was embedded: its ranges are of the text it had, so its beginning is shown.
           else format('(select case when pgpipe_internal.content_hash(i.input) = %1$s.content_hash '
                       'then substr(i.input, %1$s.char_start + 1, %1$s.char_end - %1$s.char_start) else left(i.input, 400) end '
                       'from (select %2$s) i (input))', chunk, pgpipe_internal.input_expression(e.columns, e.template)) end
$$;
comment on function pgpipe_internal.passage_expression(pgpipe.embedding, text) is
    'SQL text: the part of row `t` that the vector of `chunk` stands for. Null where the caller may not read all of it.';
