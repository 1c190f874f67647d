-- Sweeps: when the rows of an embedding were last compared with its vectors, and how its columns
-- and tables were defined then.

create table pgpipe.sweep (
    embedding_id int primary key references pgpipe.embedding on delete cascade,
    -- pgpipe_internal.embedding_definition as the last whole sweep began, and when that was; null
    -- if there was none
    definition   text,
    swept_at     timestamptz,
    -- when the last one ended, if a writer had locked rows that it wanted to enqueue
    tried_at     timestamptz,
    -- rows whose jobs were dropped since
    lacking      bigint not null default 0 check (lacking >= 0),
    check ((definition is null) = (swept_at is null))
);
comment on table pgpipe.sweep is
    'The last time that all rows of an embedding were compared with its vectors, and what they '
    'were defined by then.';

alter table pgpipe.reconciliation
    add column definition text,   -- as the sweep began; another one begins it again
    add column worker     text,   -- of the embedder that sweeps; null: a command
    -- rows to enqueue that a writer had locked
    add column skipped    bigint not null default 0,
    -- of pgpipe.sweep, as it began
    add column lacking    bigint not null default 0;
