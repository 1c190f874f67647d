-- requires: vector
-- The vector index of a store. Applied once pgvector is installed.

-- Loads pgvector's library: before that only a superuser may put its settings (hnsw.…) on a function.
do $$ begin perform '[1]'::vector; end $$;

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
