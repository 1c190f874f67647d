"""Reading what a plan is decided from: the target's columns, key and ledger, and what the role may do."""

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from pgpipe.db import Connection, one, translated
from pgpipe.load.kinds import Kind
from pgpipe.load.ledger import Ledger, read_ledger
from pgpipe.load.plan.facts import Access, Facts, TargetColumn
from pgpipe.target import Target, at

COLUMNS = """
    select type, base, coalesce(labels, '{}'), element::bigint, coalesce(reads, ''),
           name, filled, required, defaulted, identity, untyped
      from pgpipe_internal.target_columns(%s::oid::regclass)
"""
PRIMARY_KEY = """
    select pgpipe_internal.key_columns(target), pgpipe_internal.distribution_column(target)
      from cast(%s::oid as regclass) target
"""
PARTITIONED_BY = "select pgpipe_internal.partition_column(%s::oid::regclass)"
SOFT_DELETE = "select max(column_name) from pgpipe.soft_delete where target = %s::oid"
OURS = """
    select pgpipe_internal.has_ledger(target), pgpipe_internal.is_emptied(target) from cast(%s::oid as regclass) target
"""
ACCESS = """
    select pgpipe_internal.wrong_kind(target.oid), coalesce(pg_catalog.pg_has_role(class.relowner, 'usage'), true),
           pgpipe_internal.load_obstacle(%(schema)s, target.oid, 'append'),
           pgpipe_internal.load_obstacle(%(schema)s, target.oid, 'upsert'),
           pgpipe_internal.load_obstacle(%(schema)s, target.oid, 'snapshot')
      from (select %(oid)s::oid::regclass as oid) target left join pg_catalog.pg_class class on class.oid = target.oid
"""
HAS_ROWS = sql.SQL("select exists (select 1 from {})")


def read_facts(conn: Connection, schema: str, entity: str) -> Facts:
    """What catalogue and ledger say of a target."""
    table = at(conn, schema, entity)
    access = _read_access(conn, schema, table)
    if table is None or access.wrong_kind:
        return Facts(schema, table, access=access)
    with translated():
        rows = conn.execute(COLUMNS, (table.oid,)).fetchall()
        primary_key, distributed_by = conn.execute(PRIMARY_KEY, (table.oid,)).fetchone() or (None, None)
        partitioned_by = one(conn, PARTITIONED_BY, (table.oid,)) or ""
        soft_delete = one(conn, SOFT_DELETE, (table.oid,))
    columns = tuple(TargetColumn(row[5], as_kind(row[:5]), *row[6:]) for row in rows)
    ours, ledger = _read_ours(conn, table)
    keys = tuple(primary_key or ()), ours, ledger, access, partitioned_by, soft_delete, distributed_by
    return Facts(schema, table, columns, *keys)


def ledger_at(conn: Connection, schema: str, entity: str) -> Ledger:
    """What the target holds; nothing if there is none, or if it is not pgpipe's."""
    table = at(conn, schema, entity)
    if table is None:
        return Ledger()
    _, ledger = _read_ours(conn, table)
    return ledger


def _read_ours(conn: Connection, table: Target) -> tuple[bool, Ledger]:
    """Whether the table is pgpipe's, and what it holds. No trigger sees it if a distributed one is truncated."""
    with translated():
        ours, emptied = conn.execute(OURS, (table.oid,)).fetchone() or (False, False)
    return ours, read_ledger(conn, table) if ours and not emptied else Ledger()


def _read_access(conn: Connection, schema: str, table: Target | None) -> Access:
    with translated():
        row = conn.execute(ACCESS, {"schema": schema, "oid": table and table.oid}).fetchone()
    assert row is not None
    wrong_kind, owned, append, upsert, snapshot = row
    return Access(wrong_kind, owned, {"append": append, "upsert": upsert, "snapshot": snapshot})


def has_rows(conn: Connection, table: Target) -> bool:
    """Whether the table has any."""
    with translated():
        row = conn.execute(HAS_ROWS.format(sql.Identifier(*table.pair))).fetchone()
    return bool(row and row[0])


def as_kind(row: Sequence[Any]) -> Kind:
    """A type as the database describes it."""
    kind, base, labels, element, reads = row
    return Kind(kind, base, tuple(labels), element, reads)
