-- requires: vector
-- The vector index of a store: when it is due, the statement that builds it, and what a build that
-- was cut off leaves. Applied once pgvector is installed.

-- Loads pgvector's library: before that only a superuser may put its settings (hnsw.…) on a
-- function.
do $$ begin perform '[1]'::vector; end $$;

create or replace function pgpipe_internal.has_direction(vector real[], half boolean)
    returns boolean  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- pgvector adds up squares in single precision: beyond these bounds their sum is 0 or
    -- infinite, and a cosine not a number.
    select coalesce(max(abs(part)) between case when half then 3e-8 else 1e-22 end
                                       and case when half then 65504 else 1e18 end, false)
      from unnest(vector) part
$$;
comment on function pgpipe_internal.has_direction(real[], boolean) is
    'Whether a vector, in half precision or not, has a cosine with any other: it is not zero, and '
    'neither too small nor too large.';

create or replace function pgpipe_internal.has_vector_index(
    store regclass, methods text[] default '{hnsw}')
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select exists (
        select from pg_catalog.pg_index index
          join pg_catalog.pg_class class on class.oid = index.indexrelid
          join pg_catalog.pg_am method on method.oid = class.relam
         where index.indrelid = store and index.indisvalid and method.amname = any (methods))
$$;
comment on function pgpipe_internal.has_vector_index(regclass, text[]) is
    'Whether a store has a valid index on its vectors by one of these methods.';

create or replace function pgpipe_internal.vector_index(
    embedding_id int, min_rows int default 5000, max_wait interval default '1 hour',
    out rows bigint, out memory bigint, out statement text)
    stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    e pgpipe.embedding;
    index_name name;
    type text;
    width int;
begin
    select * into e from pgpipe.embedding known
     where known.embedding_id = vector_index.embedding_id;
    type := case when e.dims > 2000 then 'halfvec' else 'vector' end;
    width := e.dims * case type when 'vector' then 4 else 2 end;
    if e.embedding_id is null or e.dims > 4000  -- more than HNSW takes, even of halfvec
       or pgpipe_internal.has_vector_index(e.store)
       or e.created_at > now() - max_wait and exists (
              select from pgpipe.job job
               where job.embedding_id = e.embedding_id and job.visible_at <= now()) then
        return;
    end if;
    execute format('select count(*) from (select 1 from %s limit $1) held', e.store)
        into rows using min_rows;
    if rows < min_rows then
        return;
    end if;
    execute format('select count(*) from %s', e.store) into rows;
    select pgpipe_internal.derived_name(class.relname, '_hnsw') into index_name
      from pg_catalog.pg_class class where class.oid = e.store;
    -- The graph, m = 16: 711 to 717 bytes a row without the vector, measured on 0.8; workers in
    -- parallel share 3 MB more.
    memory := rows * (width + 720) + (4 << 20);
    statement := format(
        'create index concurrently %I on %s using hnsw (vector %I.%s_cosine_ops)', index_name,
        e.store, pgpipe_internal.vector_schema(), type);
end
$$;
comment on function pgpipe_internal.vector_index(int, int, interval) is
    'The statement that builds the vector index of an embedding, with the rows and the bytes of '
    'memory that it works on. Null if none is due. That is so if it has one, or has fewer rows '
    'than min_rows (an exact scan reads those in a few milliseconds). It is also so if it has '
    'more dimensions than an index takes, or if jobs wait and the embedding is younger than '
    'max_wait.';

create or replace function pgpipe_internal.drop_invalid_index(embedding_id int)
    returns boolean
    volatile strict  set search_path = pg_catalog, pg_temp  set lock_timeout = '1s'
    language plpgsql
as $$
declare
    e pgpipe.embedding;
    leftover regclass;
begin
    select * into strict e from pgpipe.embedding known
     where known.embedding_id = drop_invalid_index.embedding_id;
    -- A build holds this lock from its first moment to its last: a session that gets it knows that
    -- nobody builds an invalid index.
    execute format('lock table %s in share update exclusive mode nowait', e.store);
    -- 0.1.0 also built IVFFlat indexes. One serves until the store has an HNSW index.
    for leftover in
        select index.indexrelid from pg_catalog.pg_index index
          join pg_catalog.pg_class class on class.oid = index.indexrelid
          join pg_catalog.pg_am method on method.oid = class.relam
         where index.indrelid = e.store
           and (method.amname in ('hnsw', 'ivfflat') and not index.indisvalid
                or method.amname = 'ivfflat' and pgpipe_internal.has_vector_index(e.store))
    loop
        execute format('drop index %s', leftover);
    end loop;
    return true;
exception when lock_not_available then
    return false;
end
$$;
comment on function pgpipe_internal.drop_invalid_index(int) is
    'Drops the invalid vector index that an interrupted build left behind. It is in the way, and '
    'every write keeps it up. Also drops an IVFFlat index of 0.1.0 once there is an HNSW index. '
    'False where the store is locked, by a build that goes on or by a vacuum.';
