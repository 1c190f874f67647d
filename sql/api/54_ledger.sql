-- The ledger of a target: whose rows pgpipe loads, and from which files.

create or replace function pgpipe.keep_ledger(target regclass, entity text)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    of_schema name := (select schema.nspname from pg_catalog.pg_class class
                         join pg_catalog.pg_namespace schema on schema.oid = class.relnamespace
                        where class.oid = target);
    known boolean := pgpipe_internal.has_ledger(target);
begin
    -- This is not the table that was loaded, or not its rows.
    if not known or pgpipe_internal.is_emptied(target) then
        delete from pgpipe.load_file file
         where file.entity = keep_ledger.entity and file.schema = of_schema;
        delete from pgpipe.tombstone held
         where held.entity = keep_ledger.entity and held.schema = of_schema;
    end if;
    if not known then
        execute case when pgpipe_internal.is_distributed(target)
                     then format('alter table %s add constraint pgpipe_ledger check (true)', target)
                     else format('create trigger pgpipe_ledger after truncate on %s '
                                 'for each statement '
                                 'execute function pgpipe_internal.forget_files(%L, %L)',
                                 target, entity, of_schema) end;
        perform pgpipe_internal.grant_target(target);
    end if;
end
$$;
comment on function pgpipe.keep_ledger(regclass, text) is
    'Lets `pgpipe load` load an entity into a table that it did not make. The ledger of the '
    'entity''s files belongs to this table from now on. Entries of another table of that name, '
    'dropped since, are forgotten. Twice is a no-op. '
    'Example: select pgpipe.keep_ledger(''article'', ''article'')';
