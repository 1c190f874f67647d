-- Trouble: why a worker could not serve an embedding, sweep it, or build its index.

create table pgpipe.trouble (
    embedding_id int not null references pgpipe.embedding on delete cascade,
    step         text not null check (step in ('serve', 'sweep', 'index')),
    worker       text not null,  -- that met it last
    error        text not null,
    met_at       timestamptz not null default clock_timestamp(),
    primary key (embedding_id, step)
);
comment on table pgpipe.trouble is
    'The last error of each step that concerns an embedding as a whole, not one of its rows. It '
    'holds until the step has worked since: pgpipe.embedding_status says so.';
