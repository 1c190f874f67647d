-- Links: foreign keys between the targets of one run. Their entities are loaded together.

create or replace function pgpipe_internal.links(schema name, tables name[])
    returns table (child name, parent name, constraint_name name, is_deferrable boolean)
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select child.relname, parent.relname, link.conname, link.condeferrable
      from pg_catalog.pg_constraint link
      join pg_catalog.pg_class child on child.oid = link.conrelid
      join pg_catalog.pg_class parent on parent.oid = link.confrelid
     where link.contype = 'f' and link.conparentid = 0 and child.oid <> parent.oid
       and child.relname = any (tables) and parent.relname = any (tables)
       and child.relnamespace = to_regnamespace(quote_ident(links.schema))
       and parent.relnamespace = child.relnamespace
     order by child.relname, parent.relname, link.conname
$$;
comment on function pgpipe_internal.links(name, name[]) is
    'The foreign keys that lead from one of these tables to another.';
