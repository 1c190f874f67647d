-- Tokens of the search API: who may ask `pgpipe serve --api` for what, as which role, how often.

create table pgpipe.token (
    token_id   text primary key check (token_id ~ '^[a-z0-9]{8}$'),
    hash       bytea not null check (octet_length(hash) = 32),
    name       text not null check (name ~ '\S' and length(name) <= 100),
    role       name not null,
    entities   regclass[] check (
        cardinality(entities) > 0 and array_position(entities, null) is null),
    per_minute int not null check (per_minute between 1 and 1000000),
    burst      int not null check (burst between 1 and 1000000),
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    used_on    date
);
comment on table pgpipe.token is
    'Tokens of the search API. `token_id` is the part of a token that may be shown, `hash` the '
    'SHA-256 of the whole. Nobody but the owner and pgpipe_api reads it.';
comment on column pgpipe.token.entities is 'What it may search; null: all that its role may read.';
comment on column pgpipe.token.used_on is 'The last day, in UTC, on which it was used.';

-- Also for who was granted all tables of the schema by mistake.
alter table pgpipe.token enable row level security;
create policy server on pgpipe.token
    using (pg_has_role(to_regrole('pgpipe_api')::oid, 'usage'));

-- Not logged, so that a request waits for no disk. After a crash all are full again.
create unlogged table pgpipe.token_bucket (
    token_id text primary key references pgpipe.token on delete cascade,
    level    double precision not null check (level >= 0),
    at       timestamptz not null
) with (fillfactor = 50);
comment on table pgpipe.token_bucket is
    'How many requests each token of the search API has left, at which moment. The servers of the '
    'API take them in small shares.';
