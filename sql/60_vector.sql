-- requires: vector
-- Vectors: writing what a worker computed, and the index. Applied once pgvector is installed.

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
