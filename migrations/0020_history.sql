-- History: of which targets the versions of rows are kept, since when, and who wrote between loads.

create table pgpipe.history (
    target     regclass primary key,
    history    regclass not null unique,  -- the table of the versions
    keep       interval check (keep > '0'),  -- null: for ever
    since      timestamptz not null,  -- the earliest moment that it can answer for
    written_at timestamptz not null,  -- by the last load that wrote it
    pauses     tstzmultirange not null default '{}'  -- when nothing was kept
);
comment on table pgpipe.history is
    'The targets whose history is kept, and from when on. It is set by the configuration at each '
    'load.';

grant select on pgpipe.history to public;  -- policies of histories read it

create table pgpipe.history_mark (
    target      regclass not null,
    transaction xid8 not null,  -- that wrote rows of the target
    nested      boolean not null,  -- a trigger or a foreign key did it
    primary key (target, transaction, nested)
);
comment on table pgpipe.history_mark is
    'Transactions that wrote rows of a target whose history is kept. A load that finds one of '
    'another than its own compares all rows with the history, and takes the marks away.';

-- As 0008: those who own the target declare it. They own its history too: what lies there is
-- altered by loads.
alter table pgpipe.history enable row level security;
create policy reader on pgpipe.history for select using (true);
create policy owner on pgpipe.history
    using (coalesce(
        (select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class
          where class.oid = target),
        (select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class
          where class.oid = history), true))
    with check ((select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class
                   join pg_catalog.pg_class held on held.relowner = class.relowner
                  where class.oid = target and held.oid = history));

alter table pgpipe.history_mark enable row level security;
create policy reader on pgpipe.history_mark for select using (true);
create policy owner on pgpipe.history_mark
    using ((select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class
             where class.oid = target) is not false)
    with check ((select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class
                  where class.oid = target));
create policy keeper on pgpipe.history_mark
    using (exists (select from pg_catalog.pg_proc routine
                         where routine.pronamespace = 'pgpipe_internal'::regnamespace
                           and routine.proname = 'mark_history'
                           and routine.proowner = current_user::regrole));
