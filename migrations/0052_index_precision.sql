-- In which precision vectors are stored and indexed, and what was measured of an index.

alter table pgpipe.embedding
    add column store_precision text not null default 'full'
        check (store_precision in ('full', 'half')),
    add column index_precision text not null default 'full'
        check (index_precision in ('full', 'half', 'bit'));
-- An embedding that is there keeps the index that it has.
update pgpipe.embedding set store_precision = 'half' where dims > 2000;
alter table pgpipe.embedding
    alter column index_precision set default 'half',
    add check (store_precision = 'half' or dims <= 2000);  -- what is wider has no index of `vector`
comment on column pgpipe.embedding.store_precision is
    'Whether the store holds `vector` (full) or `halfvec` (half).';
comment on column pgpipe.embedding.index_precision is
    'What the vector index holds of a vector: all of it as stored (full), half of the precision, '
    'or a bit of each dimension. Searches compare what it finds in full.';

create table pgpipe.index_health (
    embedding_id int primary key references pgpipe.embedding on delete cascade,
    file         oid not null,   -- that the index lies in: each build makes another one
    measured_at  timestamptz not null default clock_timestamp(),
    rows         bigint not null,
    bytes        bigint not null,
    recall       double precision not null check (recall between 0 and 1),
    fresh_rows   bigint not null,  -- and the next two: as first measured after the build
    fresh_bytes  bigint not null,
    fresh_recall double precision not null check (fresh_recall between 0 and 1),
    dead         double precision not null generated always as (
        case when bytes > 0 and fresh_rows > 0
             then greatest(0, 1 - rows::float8 * fresh_bytes / fresh_rows / bytes)
             else 0 end) stored
);
comment on table pgpipe.index_health is
    'What was last measured of the vector index of an embedding. `recall` is the share of the ten '
    'nearest chunks that it finds, of a sample of stored vectors. `dead` is the share of its bytes '
    'that it would lose if it were built again.';
