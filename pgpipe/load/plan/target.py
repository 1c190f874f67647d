"""Reading what a plan is decided from: the target's columns, key and ledger, and what its rows allow."""

from psycopg import sql

from pgpipe import errors
from pgpipe.db import Connection, one, translated
from pgpipe.load.ledger import Ledger, read_ledger
from pgpipe.load.plan.facts import Access, DeclaredType, Details, Facts, TargetColumn
from pgpipe.load.plan.files import Part
from pgpipe.settings.entity import EntitySettings, Mode
from pgpipe.target import Target, at

COLUMNS = """
    select name, type, base, coalesce(labels, '{}'), filled, required, defaulted
      from pgpipe_internal.target_columns(%s::oid::regclass)
"""
DECLARED = "select type_name, base, coalesce(labels, '{}') from pgpipe_internal.declared_type(%s)"
PRIMARY_KEY = "select pgpipe_internal.key_columns(%s::oid::regclass)"
OURS = "select pgpipe_internal.has_ledger(%s::oid::regclass)"
REQUIRE_UNIQUE = "select pgpipe_internal.require_unique(%s::oid::regclass, %s, %s)"
ACCESS = """
    select pgpipe_internal.wrong_kind(target.oid), coalesce(pg_catalog.pg_has_role(class.relowner, 'usage'), true),
           pgpipe_internal.load_obstacle(%(schema)s, target.oid, 'append'),
           pgpipe_internal.load_obstacle(%(schema)s, target.oid, 'upsert'),
           pgpipe_internal.load_obstacle(%(schema)s, target.oid, 'snapshot')
      from (select %(oid)s::oid::regclass as oid) target left join pg_catalog.pg_class class on class.oid = target.oid
"""
HAS_ROWS = sql.SQL("select exists (select from {})")


def read_facts(conn: Connection, schema: str, entity: str) -> Facts:
    """What catalogue and ledger say of a target."""
    table = at(conn, schema, entity)
    access = _read_access(conn, schema, table)
    if table is None or access.wrong_kind:
        return Facts(schema, table, access=access)
    with translated():
        rows = conn.execute(COLUMNS, (table.oid,)).fetchall()
        primary_key = one(conn, PRIMARY_KEY, (table.oid,)) or ()
        ours = bool(one(conn, OURS, (table.oid,)))
    columns = tuple(TargetColumn(name, kind, base, tuple(labels), *rest) for name, kind, base, labels, *rest in rows)
    return Facts(
        schema, table, columns, tuple(primary_key), ours, read_ledger(conn, table) if ours else Ledger(), access
    )


def _read_access(conn: Connection, schema: str, table: Target | None) -> Access:
    with translated():
        row = conn.execute(ACCESS, {"schema": schema, "oid": table and table.oid}).fetchone()
    assert row is not None
    wrong_kind, owned, append, upsert, snapshot = row
    return Access(wrong_kind, owned, {"append": append, "upsert": upsert, "snapshot": snapshot})


def read_details(
    conn: Connection,
    table: Target | None,
    parts: list[Part],
    key: tuple[str, ...],
    mode: Mode,
    settings: EntitySettings,
) -> Details:
    """What is needed of the database to load these files.

    Args:
        conn: to read on.
        table: the target that the rows are merged with; None if they are not.
        parts: the files.
        key: of the target.
        mode: of the load.
        settings: that name types.
    """
    columns = {name for part in parts for name in part.schema.names}
    types = {name: _declared(conn, kind) for name, kind in settings.types.items() if name in columns}
    if table is None:
        return Details(types)
    whole_is_empty = mode == "snapshot" and not any(sum(part.rows) for part in parts)
    return Details(types, _not_unique(conn, table, key, mode), whole_is_empty and _has_rows(conn, table))


def _declared(conn: Connection, declared: str) -> DeclaredType | None:
    with translated():
        row = conn.execute(DECLARED, (declared,)).fetchone()
    if row is None or row[0] is None:
        return None
    kind, base, labels = row
    return DeclaredType(kind, base, tuple(labels))


def _not_unique(conn: Connection, table: Target, key: tuple[str, ...], mode: Mode) -> errors.PgpipeError | None:
    """What the database says, if two rows of the target have one key. It reads the rows only if no index tells."""
    try:
        with translated():
            conn.execute(REQUIRE_UNIQUE, (table.oid, list(key), mode))
    except errors.DataError as exc:
        return exc
    return None


def _has_rows(conn: Connection, table: Target) -> bool:
    with translated():
        row = conn.execute(HAS_ROWS.format(sql.Identifier(*table.pair))).fetchone()
    return bool(row and row[0])
