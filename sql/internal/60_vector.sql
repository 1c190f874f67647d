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

drop function if exists pgpipe_internal.has_vector_index(regclass, text[]);
create or replace function pgpipe_internal.vector_indexes(store regclass)
    returns table (index regclass, holds text, method name, valid boolean, made boolean)
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select entry.indexrelid::regclass,
           case when entry.indpred is null then
                case class.opcname when 'vector_cosine_ops' then 'full'
                                   when 'halfvec_cosine_ops' then 'half'
                                   when 'bit_hamming_ops' then 'bit' end end,
           method.amname, entry.indisvalid,
           relation.relname in (pgpipe_internal.derived_name(named.relname, '_hnsw'),
                                pgpipe_internal.derived_name(named.relname, '_hnsw_2'))
      from pg_catalog.pg_index entry
      join pg_catalog.pg_class relation on relation.oid = entry.indexrelid
      join pg_catalog.pg_class named on named.oid = entry.indrelid
      join pg_catalog.pg_am method on method.oid = relation.relam
      join pg_catalog.pg_opclass class on class.oid = entry.indclass[0]
     where entry.indrelid = store and method.amname in ('hnsw', 'ivfflat')
$$;
comment on function pgpipe_internal.vector_indexes(regclass) is
    'The indexes on the vectors of a store: what each holds of them (`holds`; null: searches '
    'do not use it), its method, and whether it has one of the names that pgpipe gives.';

create or replace function pgpipe_internal.wanted_precision(declared pgpipe.embedding)
    returns text  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case when declared.index_precision = 'full' then declared.store_precision
                else declared.index_precision end
$$;
comment on function pgpipe_internal.wanted_precision(pgpipe.embedding) is
    'What the vector index of an embedding is to hold: of a store in half precision that is all '
    'of it.';

create or replace function pgpipe_internal.served_precision(declared pgpipe.embedding)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- 0.1.0 could build IVFFlat: it serves until there is HNSW. Another precision serves until the
    -- one that is wanted is there.
    select known.holds from pgpipe_internal.vector_indexes(declared.store) known
     where known.valid and known.holds <> ''
     order by known.method = 'hnsw' desc,
              known.holds = pgpipe_internal.wanted_precision(declared) desc, known.holds
     limit 1
$$;
comment on function pgpipe_internal.served_precision(pgpipe.embedding) is
    'What the index holds that searches walk: full, half or bit; null if there is none.';

create or replace function pgpipe_internal.indexed_vector(
    declared pgpipe.embedding, holds text, vector text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case when holds = 'bit'
                then format('%I.binary_quantize(%s)::pg_catalog.bit(%s)', home, vector,
                            declared.dims)
                when holds = declared.store_precision then vector
                -- Normalised, so that a part is never too large or too small for half precision.
                else format('%I.l2_normalize(%s)::%I.halfvec(%s)', home, vector, home,
                            declared.dims) end
      from pgpipe_internal.vector_schema() home
$$;
comment on function pgpipe_internal.indexed_vector(pgpipe.embedding, text, text) is
    'SQL text: what an index of this precision holds of a vector of the store.';

create or replace function pgpipe_internal.index_memory(
    rows bigint, dims int, holds text, m int default 16)
    returns bigint  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- The graph takes 711 to 717 bytes a row without the vector if m is 16, measured on 0.8: 2 m
    -- neighbours of 16 bytes, and the element. Workers in parallel share 3 MB more.
    select rows * (case holds when 'full' then 4 * dims when 'half' then 2 * dims
                       else dims / 8 end + 32 * m + 208) + (4 << 20)
$$;
comment on function pgpipe_internal.index_memory(bigint, int, text, int) is
    'Bytes of maintenance_work_mem in which an HNSW index of so many vectors is built.';

create or replace function pgpipe_internal.rebuild_due(
    embedding_id int, index regclass, max_dead double precision, max_loss double precision)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Null: no rebuild. What was measured counts for the file that the index lies in.
    select exists (
        select from pgpipe.index_health health
         where health.embedding_id = rebuild_due.embedding_id
           and health.file = pg_catalog.pg_relation_filenode(index)
           and (health.dead > max_dead or health.fresh_recall - health.recall > max_loss))
$$;
comment on function pgpipe_internal.rebuild_due(int, regclass, double precision, double precision)
    is 'Whether a vector index has more dead bytes than `max_dead` says, or finds less than after '
    'its build by more than `max_loss`.';

create or replace function pgpipe_internal.index_statement(
    declared pgpipe.embedding, holds text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- The index that serves until then keeps its name.
    select format('create index concurrently %I on %s using hnsw ((%s) %I.%s)',
                  pgpipe_internal.derived_name(class.relname, case when exists (
                      select from pgpipe_internal.vector_indexes(declared.store) known
                        join pg_catalog.pg_class old on old.oid = known.index
                       where known.valid and old.relname = pgpipe_internal.derived_name(
                                                               class.relname, '_hnsw'))
                      then '_hnsw_2' else '_hnsw' end),
                  declared.store,
                  pgpipe_internal.indexed_vector(declared, holds, 'vector'),
                  pgpipe_internal.vector_schema(),
                  case holds when 'full' then 'vector_cosine_ops'
                                 when 'half' then 'halfvec_cosine_ops'
                                 else 'bit_hamming_ops' end)
      from pg_catalog.pg_class class where class.oid = declared.store
$$;
comment on function pgpipe_internal.index_statement(pgpipe.embedding, text) is
    'SQL text: builds the vector index of a store in a precision, while others read and write.';

create or replace function pgpipe_internal.may_be_indexed(
    declared pgpipe.embedding, max_wait interval)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- HNSW takes so many dimensions in each precision.
    select declared.dims <= case pgpipe_internal.wanted_precision(declared)
                            when 'full' then 2000 when 'half' then 4000 else 64000 end
       and (declared.created_at <= now() - max_wait or not exists (
               select from pgpipe.job job
                where job.embedding_id = declared.embedding_id and job.visible_at <= now()))
$$;
comment on function pgpipe_internal.may_be_indexed(pgpipe.embedding, interval) is
    'Whether the store of an embedding can be indexed, and its queue is empty or was not for '
    'max_wait.';

drop function if exists pgpipe_internal.vector_index(int, int, interval);
create or replace function pgpipe_internal.vector_index(
    embedding_id int, min_rows int default 5000, max_wait interval default '1 hour',
    max_dead double precision default null, max_loss double precision default null,
    out rows bigint, out memory bigint, out statement text, out step text)
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    e pgpipe.embedding;
    wanted text;
    serving regclass;
    superseded regclass;
begin
    select * into e from pgpipe.embedding d where d.embedding_id = vector_index.embedding_id;
    wanted := pgpipe_internal.wanted_precision(e);
    select min(known.index::oid) filter (where known.holds = wanted),
           min(known.index::oid) filter (where known.holds <> wanted and known.made)
      into serving, superseded
      from pgpipe_internal.vector_indexes(e.store) known
     where known.valid and known.method = 'hnsw';
    if serving is not null and superseded is not null then
        step := 'drop';
        statement := format('drop index concurrently %s', superseded);
    elsif serving is not null then
        step := case when pgpipe_internal.rebuild_due(
                              e.embedding_id, serving, max_dead, max_loss) then 'rebuild' end;
        statement := format('reindex index concurrently %s', serving);
    elsif pgpipe_internal.may_be_indexed(e, max_wait) then
        execute format('select count(*) from (select 1 from %s limit $1) held', e.store)
            into rows using min_rows;
        step := case when rows >= min_rows then 'build' end;
        statement := pgpipe_internal.index_statement(e, wanted);
    end if;
    if step in ('build', 'rebuild') then
        execute format('select count(*) from %s', e.store) into rows;
        memory := pgpipe_internal.index_memory(rows, e.dims, wanted);
    elsif step is null then
        rows := null; statement := null;
    end if;
end
$$;
comment on function pgpipe_internal.vector_index(
    int, int, interval, double precision, double precision) is
    'What the vector index of an embedding needs next (`step`: build, rebuild, drop): the '
    'statement, with the rows and the bytes of memory that it works on. Null if nothing is due. '
    'No index is due for fewer rows than min_rows (an exact scan reads those in a few '
    'milliseconds), for more dimensions than one takes, or if jobs wait and the embedding is '
    'younger than max_wait. An index of another precision serves until the one that is declared '
    'is there, and is dropped then.';

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
                or method.amname = 'ivfflat' and exists (
                       select from pgpipe_internal.vector_indexes(e.store) known
                        where known.valid and known.method = 'hnsw' and known.holds <> ''))
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
