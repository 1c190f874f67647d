-- requires: vector
-- Vectors: writing what a worker computed, vector search and hybrid search. Applied once pgvector is installed.

-- Loads pgvector's library: before that only a superuser may put its settings (hnsw.…) on a function.
do $$ begin perform '[1]'::vector; end $$;

create or replace function pgpipe.finish_jobs(embedding_id int, token uuid, keys jsonb[], gens bigint[], hashes bytea[], fresh boolean[],
    chunk_of int[], chunks int[], char_starts int[], char_ends int[], vectors vector[], out finished int, out stale int)
    volatile  set search_path = ''  language plpgsql
as $$
declare
    e pgpipe.embedding;
    done int[];
    gone int[];
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = finish_jobs.embedding_id;
    select s.done, s.gone, s.stale into done, gone, stale from pgpipe.settle_jobs(embedding_id, token, keys, gens, hashes) s;
    if gone <> '{}' then  -- what a delete left behind whose foreign key was switched off
        execute format('delete from %s s using unnest($1) w (key) where %s', e.store,
                       pgpipe.key_match(e.target, e.key_columns, 's', 'w.key')) using array(select keys[n] from unnest(gone) n);
    end if;
    done := array(select n from unnest(done) n where not fresh[n]);
    execute format('delete from %s s using unnest($1, $2) w (key, chunks) where %s and s.chunk >= w.chunks',
                   e.store, pgpipe.key_match(e.target, e.key_columns, 's', 'w.key'))
        using array(select keys[n] from unnest(done) n),
              array(select coalesce(c.chunks, 0) from unnest(done) with ordinality d (n, place)
                      left join (select c, count(*) as chunks from unnest(chunk_of) c group by c) c on c.c = d.n order by d.place);
    execute format($sql$
        insert into %1$s as s (%2$s, chunk, char_start, char_end, content_hash, model, vector)
        select %3$s, c.chunk, c.char_start, c.char_end, $2[c.of], $3, c.vector
          from unnest($4, $5, $6, $7, $8) c (of, chunk, char_start, char_end, vector)
         where c.of = any ($9)
         order by $1[c.of], c.chunk
            on conflict (%2$s, chunk) do update
           set char_start = excluded.char_start, char_end = excluded.char_end, content_hash = excluded.content_hash,
               model = excluded.model, vector = excluded.vector
        $sql$, e.store, pgpipe.column_list(e.key_columns),
        (select string_agg(format('($1[c.of] ->> %L)::%s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)), ', ' order by k.n)
           from unnest(e.key_columns) with ordinality k (c, n)
           join pg_catalog.pg_attribute a on a.attrelid = e.target and a.attname = k.c))
        using keys, hashes, e.model, chunk_of, chunks, char_starts, char_ends, vectors, done;
    finished := cardinality(keys) - stale;
end
$$;
comment on function pgpipe.finish_jobs(int, uuid, jsonb[], bigint[], bytea[], boolean[], int[], int[], int[], int[], vector[]) is
    'Writes the vectors of a batch and acknowledges its jobs, both or neither. chunk_of numbers (from 1) the job of each chunk; a job '
    'without chunks loses its vectors unless it is fresh. `stale` counts the jobs that had passed to another worker: theirs are dropped.';

create or replace function pgpipe.rank_vector(target regclass, query vector, k int, filter jsonb default null)
    returns table (key jsonb, score double precision, char_start int, char_end int, content_hash bytea)
    stable
    set search_path = ''
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    set hnsw.iterative_scan = 'relaxed_order' set hnsw.ef_search = 100  -- a filtered scan goes on until it has enough
    language plpgsql
as $$
declare
    e pgpipe.embedding;
    chunks int := greatest(2 * k, 40);
    nearest text;
    seen int;
    keys jsonb[];
    distances double precision[];
    starts int[];
    ends int[];
    hashes bytea[];
begin
    select * into e from pgpipe.embedding x where x.target = rank_vector.target and x.active;
    if not found then
        raise exception '% has no embedding', target using errcode = 'PP008',
            hint = format('Declare one: select pgpipe.enable_embedding(%L, ''{column}'', model => …, dims => …)', target);
    end if;
    nearest := format($sql$
        select %1$s as key, s.char_start, s.char_end, s.content_hash, s.vector operator(%2$I.<=>) $1::%2$I.%3$s as distance
          from %4$s s %5$s order by distance limit $2
        $sql$, pgpipe.key_json(e.key_columns, 's'), pgpipe.vector_schema(),
        case when e.dims > 2000 then 'halfvec' else 'vector' end, e.store,
        case when filter is not null then format('join %s t on (%s) = (%s) where %s', e.target,
            pgpipe.column_list(e.key_columns, 't'), pgpipe.column_list(e.key_columns, 's'),
            pgpipe.filter_condition(target, 't', filter)) else '' end);
    loop  -- long texts have many chunks: look further until there are k rows, or no more chunks
        execute format($sql$
            with nearest as materialized (%s), best as (
                select distinct on (n.key) n.* from nearest n order by n.key, n.distance
            )
            select (select count(*) from nearest), array_agg(b.key order by b.distance, b.key),
                   array_agg(b.distance order by b.distance, b.key), array_agg(b.char_start order by b.distance, b.key),
                   array_agg(b.char_end order by b.distance, b.key), array_agg(b.content_hash order by b.distance, b.key)
              from best b
            $sql$, nearest) into seen, keys, distances, starts, ends, hashes using query, chunks;
        exit when cardinality(keys) >= k or seen < chunks;
        chunks := chunks * 4;
    end loop;
    return query select b.key, 1 - b.distance, b.char_start, b.char_end, b.content_hash
                   from unnest(keys, distances, starts, ends, hashes) b (key, distance, char_start, char_end, content_hash)
                  where b.distance < 'Infinity' limit k;  -- a vector of zeros has no direction: its distance is NaN
end
$$;
comment on function pgpipe.rank_vector(regclass, vector, int, jsonb) is
    'Keys of the k rows nearest to a vector, with the cosine similarity and the character range of the best chunk of each. '
    'Raises PP008 without an embedding, PP002 and PP003 as filter_condition.';

create or replace function pgpipe.passage(embedding_id int, key jsonb, content_hash bytea, char_start int, char_end int)
    returns text  stable  set search_path = ''
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    e pgpipe.embedding;
    content text;
begin
    select * into e from pgpipe.embedding x where x.embedding_id = passage.embedding_id;
    execute format('select %s from %s t where %s', pgpipe.input_expression(e.columns, e.template), e.target,
                   pgpipe.key_match(e.target, e.key_columns, 't', '$1')) into content using key;
    -- A row that changed since it was embedded: its ranges are of the text it had, so its beginning is shown.
    return case when pgpipe.content_hash(content) = content_hash then substr(content, char_start + 1, char_end - char_start)
                else left(content, 400) end;
end
$$;
comment on function pgpipe.passage(int, jsonb, bytea, int, int) is 'The part of a row''s text that a chunk''s vector stands for.';

create or replace function pgpipe.vector_search(target regclass, query vector, k int default 10, filter jsonb default null)
    returns table (key jsonb, score double precision, passage text, "row" jsonb)
    stable  set search_path = ''  language plpgsql
as $$
declare
    e pgpipe.embedding;
begin
    select * into e from pgpipe.embedding x where x.target = vector_search.target and x.active;
    return query execute format($sql$
        select r.key, r.score, pgpipe.passage($6, r.key, r.content_hash, r.char_start, r.char_end), d.document
          from pgpipe.rank_vector($1, $2, $3, $4) r
          left join lateral (select to_jsonb(t) - $5 as document from %s t where %s) d on true
         order by r.score desc, r.key
        $sql$, target, coalesce(pgpipe.key_match(target, e.key_columns, 't', 'r.key'), 'false'))
        using target, query, k, filter,
              coalesce((select s.column_name from pgpipe.search s where s.target = vector_search.target), '')::text, e.embedding_id;
end
$$;
comment on function pgpipe.vector_search(regclass, vector, int, jsonb) is
    'The k rows nearest to a vector by meaning: key, score (cosine similarity), passage (the best chunk), row. Each row once.';

create or replace function pgpipe.hybrid_search(target regclass, query text, query_vector vector, k int default 10,
    filter jsonb default null, text_weight double precision default 1, vector_weight double precision default 1,
    rrf_k int default 60, candidates int default 100)
    returns table (key jsonb, score double precision, text_rank int, vector_rank int, passage text, "row" jsonb)
    stable  set search_path = ''  language plpgsql
as $$
declare
    e pgpipe.embedding;
begin
    select * into e from pgpipe.embedding x where x.target = hybrid_search.target and x.active;
    return query execute format($sql$
        with words as (
            select r.key, row_number() over (order by r.score desc, r.key)::int as rank
              from pgpipe.rank_text($1, $2, greatest($5, $4), $6) r
        ), meaning as (
            select r.*, row_number() over (order by r.score desc, r.key)::int as rank
              from pgpipe.rank_vector($1, $3, greatest($5, $4), $6) r
        ), fused as (
            select coalesce(w.key, m.key) as key, w.rank as text_rank, m.rank as vector_rank,
                   coalesce($7 / ($9 + w.rank), 0) + coalesce($8 / ($9 + m.rank), 0) as score,
                   m.content_hash, m.char_start, m.char_end
              from words w full join meaning m on m.key = w.key
             order by 4 desc, 1 limit $4
        )
        select f.key, f.score, f.text_rank, f.vector_rank,
               case when f.text_rank is not null then pgpipe.headline($1, $2, d.document)
                    else pgpipe.passage($11, f.key, f.content_hash, f.char_start, f.char_end) end, d.document
          from fused f
          left join lateral (select to_jsonb(t) - $10 as document from %s t where %s) d on true
         order by f.score desc, f.key
        $sql$, target, coalesce(pgpipe.key_match(target, e.key_columns, 't', 'f.key'), 'false'))
        using target, query, query_vector, k, candidates, filter, text_weight, vector_weight, rrf_k,
              coalesce((select s.column_name from pgpipe.search s where s.target = hybrid_search.target), '')::text, e.embedding_id;
end
$$;
comment on function pgpipe.hybrid_search(regclass, text, vector, int, jsonb, double precision, double precision, int, int) is
    'The k best rows by words and by meaning together: reciprocal rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009) of the '
    '`candidates` best of each, the filter applied inside both. Both ranks are returned; null where a row is not in that list.';

create or replace function pgpipe.vector_index(embedding_id int, min_rows int default 5000,
    out rows bigint, out cleanup text, out statement text)
    stable strict  set search_path = ''  language plpgsql
as $$
declare
    e pgpipe.embedding;
    name name;
    schema name;
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = vector_index.embedding_id;
    if e.dims > 4000 then
        return;  -- more than HNSW takes, even of halfvec
    end if;
    select pgpipe.derived_name(c.relname, '_hnsw'), n.nspname into name, schema
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = e.store;
    if exists (select from pg_catalog.pg_index i join pg_catalog.pg_class x on x.oid = i.indexrelid
                 join pg_catalog.pg_am m on m.oid = x.relam
                where i.indrelid = e.store and i.indisvalid and m.amname in ('hnsw', 'ivfflat')) then
        return;
    end if;
    execute format('select count(*) from (select from %s limit $1) s', e.store) into rows using min_rows;
    if rows < min_rows then
        return;
    end if;
    execute format('select count(*) from %s', e.store) into rows;
    -- What a build that was cut off leaves is invalid, and in the way.
    cleanup := format('drop index concurrently if exists %I.%I', schema, name);
    statement := format('create index concurrently %I on %s using hnsw (vector %I.%s_cosine_ops)', name, e.store,
                        pgpipe.vector_schema(), case when e.dims > 2000 then 'halfvec' else 'vector' end);
end
$$;
comment on function pgpipe.vector_index(int, int) is
    'The statements that build the vector index of an embedding and remove a half-built one; null where it has one, where its '
    'dimensions are more than HNSW takes, or where it has fewer rows than min_rows, which an exact scan reads in a few milliseconds.';
