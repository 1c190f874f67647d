"""The rights in the schema: granted if they differ from what the last migrate left."""

from pgpipe.db import Connection
from pgpipe.schema.functions import APPLY

GRANTS = "grants"  # in pgpipe.sql_file: the owners and rights that the last migrate left
LEFT = "select checksum from pgpipe.sql_file where name = %s"
# Owners and rights of what is ours and of the targets.
PRESENT = """
    with known as (
        select unnest(array[e.target, e.store, e.filter_table]) as oid from pgpipe.embedding e
        union select search.target from pgpipe.search search
        union select keeper.tgrelid from pg_catalog.pg_trigger keeper where keeper.tgname = 'pgpipe_ledger'
        union select marker.conrelid from pg_catalog.pg_constraint marker where marker.conname = 'pgpipe_ledger'
        union select class.oid from pg_catalog.pg_class class where class.relnamespace = 'pgpipe'::regnamespace
    ), part as (
        select routine.oid, 0 as place, routine.proowner as owner, routine.proacl as rights
          from pg_catalog.pg_proc routine
         where routine.pronamespace::regnamespace::text in ('pgpipe', 'pgpipe_internal', 'pgpipe_target')
        union all
        select class.oid, 0, class.relowner, class.relacl from known join pg_catalog.pg_class class using (oid)
        union all
        select item.attrelid, item.attnum, null, item.attacl
          from known join pg_catalog.pg_attribute item on item.attrelid = known.oid
         where item.attacl is not null
        union all
        select home.oid, 0, home.nspowner, home.nspacl from pg_catalog.pg_namespace home
         where home.nspname in ('pgpipe', 'pgpipe_internal', 'pgpipe_staging', 'pgpipe_target', %s)
            or home.oid in (select known.extnamespace from pg_catalog.pg_extension known
                             where known.extname = 'vector')
    )
    select pg_catalog.md5(pg_catalog.string_agg(part::text, ' ' order by part.oid, part.place)) from part
"""
GRANT = "select pgpipe_internal.grant_roles(%s)"


def assert_rights(conn: Connection, targets: str) -> None:
    """Grant if owners or rights differ from what the last migrate left; only then: a GRANT waits for an ALTER TABLE."""
    if conn.execute(PRESENT, (targets,)).fetchone() == conn.execute(LEFT, (GRANTS,)).fetchone():
        return
    conn.execute(GRANT, (targets,))
    (rights,) = conn.execute(PRESENT, (targets,)).fetchone() or ("",)
    conn.execute(APPLY, (GRANTS, rights))
