"""Rights, examined: what the login may do, whose tables it loads, and what workers lack on tables of others."""

from collections.abc import Iterator

from pgpipe.db import Connection
from pgpipe.doctor.finding import Finding, failure, ok, warning
from pgpipe.doctor.roles import examine_queue_role
from pgpipe.settings.model import Settings

RIGHTS = """
    select current_user::text,
           has_schema_privilege(%(schema)s, 'create') and has_table_privilege('pgpipe.load', 'insert')
               and has_schema_privilege('pgpipe_staging', 'create') as loads,
           has_table_privilege('pgpipe.job', 'update') as embeds,
           has_table_privilege('pgpipe.search', 'select') as searches
"""
NOT_OWNED = """
    select c.oid::regclass::text from pg_catalog.pg_class c
     where (c.oid in (select g.tgrelid from pg_catalog.pg_trigger g where g.tgname = 'pgpipe_ledger')
            or c.oid in (select r.conrelid from pg_catalog.pg_constraint r where r.conname = 'pgpipe_ledger'))
       and not pg_has_role(c.relowner, 'usage') order by 1
"""
# Tables that a load would make its own, and those that are searched or embedded.
NO_TRIGGERS = """
    select c.oid::regclass::text, c.relowner::regrole::text, quote_ident(current_user)
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and not has_table_privilege(c.oid, 'trigger')
       and (n.nspname = %(schema)s and c.relname = any (%(entities)s)
            or c.oid in (select target from pgpipe.embedding)) order by 1
"""
LACKING = """
    select e.target::text || case e.name when 'default' then '' else ' (' || e.name || ')' end, missing.what
      from pgpipe.embedding e
     cross join lateral pgpipe_internal.lacking_grants(e, pgpipe_internal.worker_role()) missing (what)
     where missing.what is not null order by 1
"""


def _parts(conn: Connection, settings: Settings) -> Iterator[Finding]:
    row = conn.execute(RIGHTS, {"schema": settings.database.db_schema}).fetchone()
    assert row is not None
    who, *may = row
    parts = [part for part, allowed in zip(("load", "embed", "search"), may, strict=True) if allowed]
    if not parts:
        yield failure(
            "rights", f"{who} may neither load, embed nor search", "grant it one of the roles of `pgpipe roles`"
        )
        return
    yield ok("rights", f"{who} may {', '.join(parts)}")
    if "load" in parts:
        yield from _of_a_loader(conn, settings, who)


def _of_a_loader(conn: Connection, settings: Settings, who: str) -> Iterator[Finding]:
    strangers = [name for (name,) in conn.execute(NOT_OWNED).fetchall()]
    if strangers:
        todo = f"alter table {strangers[0]} owner to {who}"
        yield warning("rights", f"{who} does not own {', '.join(strangers)}: new columns cannot be added", todo)
    named = {"schema": settings.database.db_schema, "entities": list(settings.entity)}
    for table, owner, role in conn.execute(NO_TRIGGERS, named).fetchall():
        yield warning(
            "rights",
            f"{who} may not make triggers on {table}, which is owned by {owner}: it can be neither loaded nor embedded",
            f"as {owner}: grant trigger on {table} to {role}",
        )


def _of_workers(conn: Connection, _settings: Settings) -> Iterator[Finding]:
    for embedding, missing in conn.execute(LACKING).fetchall():
        what, _, todo = missing.partition(": ")
        yield warning("rights", f"{embedding}: {what}", todo)


def _queue_role(conn: Connection, _settings: Settings) -> Iterator[Finding]:
    yield from examine_queue_role(conn)


CHECKS = (_parts, _of_workers, _queue_role)
