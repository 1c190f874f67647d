-- The schema pgpipe and its tables. Run once, frozen once released; functions live in sql/.

create schema if not exists pgpipe;
comment on schema pgpipe is 'What pgpipe keeps about its targets: loads, declared searches and embeddings, and the queue.';

create schema pgpipe_staging;
comment on schema pgpipe_staging is 'Tables being filled by a load. Whatever is found here without a running load may be dropped.';

-- Loading -------------------------------------------------------------------------------------------------------------

create table pgpipe.load (
    load_id     bigint generated always as identity primary key,
    schema      name not null default 'public',  -- of the target
    entity      text not null,
    date        date not null,
    mode        text not null check (mode in ('append', 'upsert', 'snapshot')),
    started_at  timestamptz not null default now(),
    finished_at timestamptz,
    read        bigint not null default 0,  -- rows that the files held
    inserted    bigint not null default 0,
    updated     bigint not null default 0,
    deleted     bigint not null default 0,
    unchanged   bigint not null default 0,
    rejected    bigint not null default 0,  -- of those read, set aside in rejected_row
    error       text,
    check (error is null or finished_at is not null)  -- a failed load has ended
);
comment on table pgpipe.load is 'One row per load: one run of one entity over one date.';
create index load_entity on pgpipe.load (entity, schema, started_at desc);

create table pgpipe.load_file (
    schema    name not null default 'public',
    entity    text not null,
    file      text not null,  -- the file's full address
    etag      text not null,  -- identity of its bytes, as the source states it
    date      date not null,
    bytes     bigint not null check (bytes >= 0),
    read      bigint not null check (read >= 0),
    rejected  bigint not null default 0 check (rejected >= 0),
    load_id   bigint not null references pgpipe.load,
    loaded_at timestamptz not null default now(),
    primary key (schema, entity, file, etag)
);
comment on table pgpipe.load_file is
    'The ledger: the files whose rows are in the target, written in the transaction that put them there.';

create table pgpipe.rejected_row (
    schema      name not null default 'public',
    entity      text not null,
    file        text not null,
    etag        text not null,
    row_group   int not null check (row_group >= 0),
    row_number  bigint not null check (row_number >= 0),  -- within its row group, counted from 0
    column_name text,  -- null where a rule of several columns was broken
    reason      text not null,
    key         jsonb check (jsonb_typeof(key) = 'object'),  -- {"id": 7}; null without a key
    row         jsonb check (jsonb_typeof(row) = 'object'),  -- null where it is too large to keep twice; the file has it
    load_id     bigint not null references pgpipe.load,
    rejected_at timestamptz not null default now(),
    primary key (schema, entity, file, etag, row_group, row_number),
    foreign key (schema, entity, file, etag) references pgpipe.load_file on delete cascade  -- it goes with the rows beside it
);
comment on table pgpipe.rejected_row is
    'Rows of the files in the ledger that are not in the target, and why: a value in them cannot be stored, and the policy was `reject`.';

-- Search --------------------------------------------------------------------------------------------------------------

create table pgpipe.search (
    target    regclass primary key,
    column_name name not null default 'search',
    weights   jsonb not null check (jsonb_typeof(weights) = 'object'),  -- {"title": "A", "description": "B"}
    language  regconfig not null,  -- of every row, or of those whose language column names none
    language_column name,
    by_trigger boolean not null default false,  -- the column is a plain one that a trigger keeps
    documents bigint not null default 0 check (documents >= 0),  -- at the last refresh of the lexeme table
    mean_length double precision not null default 0 check (mean_length >= 0),  -- words per document, stop words left out
    refreshed_at timestamptz
);
comment on table pgpipe.search is 'One row per target with a search column, and the figures that ranking needs.';

create table pgpipe.search_fill (
    target      regclass primary key,
    column_name name not null,
    weights     jsonb not null check (jsonb_typeof(weights) = 'object'),
    language    regconfig not null,
    language_column name,
    next_block  bigint not null default 0 check (next_block >= 0),
    end_block   bigint not null default 0 check (end_block >= 0),  -- rows beyond it were written under the trigger
    filled      bigint not null default 0 check (filled >= 0),
    started_at  timestamptz not null default now()
);
comment on table pgpipe.search_fill is
    'Search columns that are being filled, and how far; what pgpipe.search says about the same target serves until then.';

create table pgpipe.lexeme (
    target    regclass not null,  -- by name in a dump: an oid would be of another table after a restore
    lexeme    text collate "C" not null,  -- so that the primary key finds beginnings too
    documents real not null check (documents > 0),  -- how many documents hold it; an estimate where a sample was read
    primary key (target, lexeme)
);
comment on table pgpipe.lexeme is 'Document frequency of each lexeme of a target; ranking uses it, and works without it.';
-- Words are data: who may not read a target, or only some of its rows, does not read its words either.
alter table pgpipe.lexeme enable row level security;
create policy reader on pgpipe.lexeme
    using (has_any_column_privilege(target, 'select') and not row_security_active(target)) with check (true);

-- Embeddings and the queue --------------------------------------------------------------------------------------------

create table pgpipe.embedding (
    embedding_id int generated always as identity primary key,
    target       regclass not null,
    name         text not null check (name ~ '^[a-z][a-z0-9_]*$'),
    store        regclass not null unique,
    key_columns  name[] not null check (cardinality(key_columns) > 0),
    columns      name[] not null check (cardinality(columns) > 0),
    template     text not null,  -- lines with {column} in them; a line whose columns are all empty is left out
    condition    text,           -- SQL over the row's columns; a row for which it is not true has no vectors
    model        text not null,
    dims         int not null check (dims between 1 and 16000),
    chunk_size   int check (chunk_size > 0),  -- tokens; null: as many as the model reads
    chunk_overlap int not null default 0 check (chunk_overlap >= 0 and chunk_overlap < coalesce(chunk_size, 1)),
    active       boolean not null default true,  -- the one that search uses
    paused_at    timestamptz,    -- changes are still enqueued, nothing is claimed
    max_attempts int not null default 5 check (max_attempts > 0),
    fingerprint  bytea,  -- vectors that the model made of fixed texts (float32, little endian); null until it is first run
    created_at   timestamptz not null default now(),
    unique (target, name)
);
comment on table pgpipe.embedding is 'One declared way of turning the rows of a target into vectors.';
create unique index embedding_active on pgpipe.embedding (target) where active;

create table pgpipe.job (
    embedding_id int not null,  -- no foreign key: checking it would cost more than the row; a trigger on embedding cleans up
    key          jsonb not null check (jsonb_typeof(key) = 'object'),  -- {"id": 7}
    gen          bigint not null default 1,  -- one higher with every change of the row: a worker that saw less may not finish it
    attempts     int not null default 0,
    rescues      int not null default 0,  -- leases that ran out: each halves the batch in which it is claimed next
    enqueued_at  timestamptz not null default now(),
    visible_at   timestamptz not null default now(),  -- when it may be claimed: now, after a back-off, or when a lease runs out
    lease_token  uuid,
    leased_by    text,
    last_error   text,
    dead_at      timestamptz,
    primary key (embedding_id, key),
    check ((lease_token is null) = (leased_by is null)),
    check ((dead_at is not null) = (visible_at = 'infinity')),  -- dead: nobody claims it until it is retried
    check (dead_at is null or (lease_token is null and last_error is not null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
comment on table pgpipe.job is 'The queue: this key of this embedding needs a fresh vector. One row per (embedding, key).';
create index job_ready on pgpipe.job (embedding_id, visible_at);

create table pgpipe.finished (
    embedding_id int not null references pgpipe.embedding on delete cascade,
    finished_at  timestamptz not null default clock_timestamp(),
    worker       text,  -- host:process
    jobs         int not null check (jobs >= 0),
    stale        int not null default 0 check (stale >= 0)  -- had passed to another worker: what was computed for them was dropped
);
comment on table pgpipe.finished is
    'What workers finished, one row for each batch, written in the transaction that finished it and kept for a week: rates come from here.';
create index finished_at on pgpipe.finished (finished_at);
create index finished_stale on pgpipe.finished (embedding_id) where stale > 0;

create table pgpipe.reconciliation (
    embedding_id int primary key references pgpipe.embedding on delete cascade,
    position     jsonb,  -- key of the last row that was looked at; null: none yet
    examined     bigint not null default 0,
    enqueued     bigint not null default 0,
    started_at   timestamptz not null default now(),
    moved_at     timestamptz not null default now()
);
comment on table pgpipe.reconciliation is 'How far an unfinished `pgpipe reconcile` came; it goes on from there. Gone once it is through.';

-- What is applied -----------------------------------------------------------------------------------------------------

create table pgpipe.sql_file (
    name       text primary key,
    checksum   text not null,
    applied_at timestamptz not null default now()
);
comment on table pgpipe.sql_file is 'The files of sql/ as last applied; one whose checksum differs is applied again.';
