-- Declarations are written by those who own what they declare about. The functions that declare
-- run with their caller's rights, so these policies hold for everybody who writes the tables
-- directly, too. Once a target is gone, anybody who may declare clears it away.

alter table pgpipe.embedding enable row level security;
create policy reader on pgpipe.embedding for select using (true);
create policy owner on pgpipe.embedding
    using ((select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class
             where class.oid = target) is not false)
    with check ((select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class
                  where class.oid = target));
-- The functions with their owner's rights note fingerprints, and errors of filter tables.
create policy keeper on pgpipe.embedding for update
    using (exists (select from pg_catalog.pg_proc routine
                    where routine.pronamespace = 'pgpipe_internal'::regnamespace
                      and routine.proname = 'note_fingerprint'
                      and routine.proowner = current_user::regrole));

alter table pgpipe.search enable row level security;
create policy reader on pgpipe.search for select using (true);
create policy owner on pgpipe.search
    using ((select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class
             where class.oid = target) is not false)
    with check ((select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class
                  where class.oid = target));
-- A role that may read a target counts its words; which columns that takes, the grants say.
create policy counter on pgpipe.search for update
    using (has_any_column_privilege(target, 'select'));

alter table pgpipe.search_fill enable row level security;
create policy reader on pgpipe.search_fill for select using (true);
create policy owner on pgpipe.search_fill
    using ((select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class
             where class.oid = target) is not false)
    with check ((select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class
                  where class.oid = target));
