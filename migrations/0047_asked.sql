-- Questions that were asked, if a client is configured to record them. Searches never write it.

create table pgpipe.asked (
    asked_id     bigint generated always as identity primary key,
    asked_at     timestamptz not null default clock_timestamp(),
    asked_by     name not null default current_user,
    target       regclass not null,
    mode         text not null check (mode in ('text', 'vector', 'hybrid', 'several')),
    question     text check (length(question) <= 2000),  -- null: only its hash is kept
    hash         bytea not null check (octet_length(hash) = 32),
    hits         int not null check (hits >= 0),
    corrected    text,
    milliseconds jsonb not null check (jsonb_typeof(milliseconds) = 'object')  -- by part
);
comment on table pgpipe.asked is
    'Questions, how many hits they had and how long each part took. Clients write it if `asked` '
    'is configured.';
create index asked_at on pgpipe.asked (asked_at);
create index asked_target on pgpipe.asked (target, asked_at);

-- Who asked reads it, and who owns what was asked: nobody else's questions.
alter table pgpipe.asked enable row level security;
create policy asker on pgpipe.asked using (asked_by = current_user)
    with check (asked_by = current_user and has_any_column_privilege(target, 'select'));
create policy owner on pgpipe.asked
    using ((select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class
             where class.oid = target));
