-- requires: vector
-- Finishing a batch: the vectors are written and the jobs acknowledged in one transaction. Applied once pgvector is installed.


create or replace function pgpipe_internal.finish_jobs(embedding_id int, token uuid, worker text, keys jsonb[], gens bigint[], hashes bytea[],
    fresh boolean[], twin boolean[], chunk_of int[], chunks int[], char_starts int[], char_ends int[], vectors vector[],
    out finished int, out stale int, out locked int[])
    volatile  set search_path = pg_catalog, pg_temp
    set enable_seqscan = off set jit = off
    language plpgsql
as $$
declare
    e pgpipe.embedding;
    key_values text;
    own_key text;
    done int[];
    gone int[];
    written int[];
    copied int[] := '{}';  -- twins whose source is there
    sources tid[];         -- the first chunk of each source
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = finish_jobs.embedding_id;
    perform pgpipe_internal.require_all_rows(e);
    key_values := (select string_agg(pgpipe_internal.key_value(e.target, c, '$1[c.of]'), ', ' order by n)
                     from unnest(e.key_columns) with ordinality k (c, n));
    own_key := pgpipe_internal.key_match(e.target, e.key_columns, 's', 'w.key');
    if true = any (twin) then
        -- The vectors to copy are locked first. Where they are gone or changed, the row looks changed to settle_jobs and is given back.
        execute format($sql$
            with source as materialized (
                select w.n, o.tid from unnest($1, $2, $3) with ordinality w (key, hash, twin, n)
                 cross join lateral (select s.ctid as tid from %s s
                                      where s.content_hash = w.hash and s.model = $4 and s.chunk = 0 and not (%s)
                                      limit 1 for share skip locked) o
                 where w.twin
            )
            select coalesce(array_agg(n), '{}'), array_agg(tid) from source
            $sql$, e.store, own_key) into copied, sources using keys, hashes, twin, e.model;
        hashes := array(select case when w.twin and w.n <> all (copied) then '\x00'::bytea else w.hash end
                          from unnest(hashes, twin) with ordinality w (hash, twin, n) order by w.n);
    end if;
    select s.done, s.gone, s.stale, s.locked into done, gone, stale, locked
      from pgpipe_internal.settle_jobs(embedding_id, token, worker, keys, gens, hashes) s;
    finished := cardinality(keys) - stale - cardinality(locked);
    if copied && done then  -- before anything is deleted: a source may be of this batch
        execute format($sql$
            insert into %1$s as s (%2$s, chunk, char_start, char_end, content_hash, model, vector)
            select %3$s, o.chunk, o.char_start, o.char_end, o.content_hash, o.model, o.vector
              from unnest($2, $3) c (of, source)
              join %1$s f on f.ctid = c.source
              join %1$s o on %4$s
             where c.of = any ($4)
             order by $1[c.of], o.chunk
                on conflict (%2$s, chunk) do update
               set char_start = excluded.char_start, char_end = excluded.char_end, content_hash = excluded.content_hash,
                   model = excluded.model, vector = excluded.vector
            $sql$, e.store, pgpipe_internal.column_list(e.key_columns), key_values, pgpipe_internal.same_key(e.target, e.key_columns, 'o', 'f'))
            using keys, copied, sources, done;
        execute format('delete from %s s using unnest($1, $2) w (key, hash) where %s and (s.content_hash <> w.hash or s.model <> $3)',
                       e.store, own_key)
            using array(select keys[n] from unnest(copied) n where n = any (done) order by n),
                  array(select hashes[n] from unnest(copied) n where n = any (done) order by n), e.model;
    end if;
    if gone <> '{}' then  -- what a delete left behind whose foreign key was switched off
        execute format('delete from %s s using unnest($1) w (key) where %s', e.store, own_key)
            using array(select keys[n] from unnest(gone) n);
    end if;
    written := array(select n from unnest(done) n where not fresh[n] and not twin[n]);
    execute format('delete from %s s using unnest($1, $2) w (key, chunks) where %s and s.chunk >= w.chunks',
                   e.store, own_key)
        using array(select keys[n] from unnest(written) n order by n),
              array(select sum(c.chunk) from (select n, 0 as chunk, true as wanted from unnest(written) n
                                               union all select c, 1, false from unnest(chunk_of) c) c
                     group by c.n having bool_or(c.wanted) order by c.n);
    execute format($sql$
        insert into %1$s as s (%2$s, chunk, char_start, char_end, content_hash, model, vector)
        select %3$s, c.chunk, c.char_start, c.char_end, $2[c.of], $3, c.vector
          from unnest($4, $5, $6, $7, $8) c (of, chunk, char_start, char_end, vector)
         where c.of = any ($9)
         order by $1[c.of], c.chunk
            on conflict (%2$s, chunk) do update
           set char_start = excluded.char_start, char_end = excluded.char_end, content_hash = excluded.content_hash,
               model = excluded.model, vector = excluded.vector
        $sql$, e.store, pgpipe_internal.column_list(e.key_columns), key_values)
        using keys, hashes, e.model, chunk_of, chunks, char_starts, char_ends, vectors, written;
end
$$;
comment on function pgpipe_internal.finish_jobs(int, uuid, text, jsonb[], bigint[], bytea[], boolean[], boolean[], int[], int[], int[], int[],
    vector[]) is
    'Writes the vectors of a batch and acknowledges its jobs, both or neither. chunk_of numbers (from 1) the job of each chunk. A job '
    'without chunks loses its vectors unless it is fresh or gets those of its twin. `stale` counts the jobs that had passed to another '
    'worker: theirs are dropped. `locked` numbers those that a writer has locked: release them a little later.';
