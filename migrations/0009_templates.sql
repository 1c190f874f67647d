-- Templates, the schema for the functions that are rendered from them, and a note of what the
-- triggers among these missed.

create schema pgpipe_target;
comment on schema pgpipe_target is
    'Functions that pgpipe renders from pgpipe.template. The number in a name is that of its '
    'embedding.';
-- A trigger names its function, so the owner of a target must see it. Only pgpipe creates here.
grant usage on schema pgpipe_target to public;

create table pgpipe.template (
    name text primary key,
    body text not null
);
comment on table pgpipe.template is
    'The files of sql/templates/: SQL with {holes}, filled for one embedding or one load.';

create table pgpipe.missed (
    missed_id    bigint generated always as identity primary key,  -- so that it can be replicated
    embedding_id int not null,  -- no foreign key, as in pgpipe.job
    sqlstate     text not null,
    missed_at    timestamptz not null default now()
);
comment on table pgpipe.missed is
    'Triggers could not read the keys of written rows, because the table changed. The next sweep '
    'clears it.';
create index missed_by on pgpipe.missed (embedding_id);
