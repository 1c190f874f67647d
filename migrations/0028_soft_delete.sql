-- Soft deletes: of which targets a load marks rows that it would otherwise delete, and where.

create table pgpipe.soft_delete (
    target      regclass primary key,
    column_name name not null  -- timestamptz: since when a row is gone; null: it is there
);
comment on table pgpipe.soft_delete is
    'The targets whose rows are marked when they are gone, and not deleted. It is set by the '
    'configuration at each load.';

grant select on pgpipe.soft_delete to public;  -- searches read it

-- As 0020: those who own the target declare it.
alter table pgpipe.soft_delete enable row level security;
create policy reader on pgpipe.soft_delete for select using (true);
create policy owner on pgpipe.soft_delete
    using ((select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class
             where class.oid = target) is not false)
    with check ((select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class
                  where class.oid = target));
