"""Reading what a plan is decided from: the target's columns, key and ledger, and what its rows allow."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, LiteralString

from psycopg import sql
from psycopg.types.json import Jsonb

from pgpipe import errors
from pgpipe.db import Connection, one, translated
from pgpipe.load import types
from pgpipe.load.ledger import Ledger, read_ledger
from pgpipe.load.plan.bounds import homeless
from pgpipe.load.plan.changes import Changes, condition
from pgpipe.load.plan.facts import Access, Details, Facts, TargetColumn
from pgpipe.load.plan.files import Column, Part
from pgpipe.load.types import Kind
from pgpipe.settings.entity import EntitySettings, Mode
from pgpipe.target import Target, at

COLUMNS = """
    select type, base, coalesce(labels, '{}'), element::bigint, coalesce(reads, ''),
           name, filled, required, defaulted, identity, untyped
      from pgpipe_internal.target_columns(%s::oid::regclass)
"""
DECLARED = """
    select type_name, base, coalesce(labels, '{}'), element::bigint, coalesce(reads, '')
      from pgpipe_internal.declared_type(%(declared)s)
"""
UNMIGRATED = """
    select pg_catalog.regexp_replace(named.type, modifier.place, modifier.kept),
           pg_catalog.regexp_replace(named.base, modifier.place, modifier.kept), '{}'::text[], 0::bigint, named.base
      from (select '( with(?:out)? time zone)?(\\[\\])?$' as place,
                   pg_catalog.concat(pg_catalog.substring(%(declared)s, '\\([^)]*\\)'), '\\1\\2') as kept) modifier
      join pg_catalog.pg_type known
        on known.oid = pg_catalog.to_regtype(pg_catalog.regexp_replace(%(declared)s, ' *\\([^)]*\\)', ''))
     cross join lateral (
           select pg_catalog.format_type(known.oid, -1) as type,
                  pg_catalog.format_type(case known.typtype when 'd' then known.typbasetype else known.oid end, -1)
                  as base) named
"""
DEPENDENTS = """
    select column_name, array_agg(dependent order by dependent)
      from pgpipe_internal.column_dependents(%s::oid::regclass) group by column_name
"""
CLOSED = "select pgpipe_internal.shape_owner(%s::oid::regclass)"
HAS_VALUE = "select pgpipe_internal.has_value(%s::oid::regclass, %s)"
PRIMARY_KEY = "select pgpipe_internal.key_columns(%s::oid::regclass)"
PARTITIONED_BY = "select pgpipe_internal.partition_column(%s::oid::regclass)"
SOFT_DELETE = "select max(column_name) from pgpipe.soft_delete where target = %s::oid"
SOFT_DELETE_OBSTACLE = "select pgpipe_internal.soft_delete_obstacle(%s::oid::regclass, %s)"
OURS = "select pgpipe_internal.has_ledger(%s::oid::regclass)"
REQUIRE_UNIQUE = "select pgpipe_internal.require_unique(%s::oid::regclass, %s, %s)"
ACCESS = """
    select pgpipe_internal.wrong_kind(target.oid), coalesce(pg_catalog.pg_has_role(class.relowner, 'usage'), true),
           pgpipe_internal.load_obstacle(%(schema)s, target.oid, 'append'),
           pgpipe_internal.load_obstacle(%(schema)s, target.oid, 'upsert'),
           pgpipe_internal.load_obstacle(%(schema)s, target.oid, 'snapshot')
      from (select %(oid)s::oid::regclass as oid) target left join pg_catalog.pg_class class on class.oid = target.oid
"""
CHECK_DELETE = "select pgpipe_internal.check_delete(%s, %s)"
HISTORY_OBSTACLE = "select pgpipe_internal.history_obstacle(%s, %s, %s::oid::regclass, %s)"
HAS_ROWS = sql.SQL("select exists (select from {})")


@dataclass(frozen=True)
class Merge:
    """How rows are merged with those of a target."""

    key: tuple[str, ...]
    mode: Mode


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
        partitioned_by = one(conn, PARTITIONED_BY, (table.oid,)) or ""
        soft_delete = one(conn, SOFT_DELETE, (table.oid,))
    columns = tuple(TargetColumn(row[5], _kind(row[:5]), *row[6:]) for row in rows)
    ledger = read_ledger(conn, table) if ours else Ledger()
    return Facts(schema, table, columns, tuple(primary_key), ours, ledger, access, partitioned_by, soft_delete)


def ledger_at(conn: Connection, schema: str, entity: str) -> Ledger:
    """What the target holds; nothing if there is none, or if it is not pgpipe's."""
    table = at(conn, schema, entity)
    if table is None:
        return Ledger()
    with translated():
        ours = bool(one(conn, OURS, (table.oid,)))
    return read_ledger(conn, table) if ours else Ledger()


def _read_access(conn: Connection, schema: str, table: Target | None) -> Access:
    with translated():
        row = conn.execute(ACCESS, {"schema": schema, "oid": table and table.oid}).fetchone()
    assert row is not None
    wrong_kind, owned, append, upsert, snapshot = row
    return Access(wrong_kind, owned, {"append": append, "upsert": upsert, "snapshot": snapshot})


def read_details(
    conn: Connection,
    facts: Facts,
    parts: list[Part],
    settings: EntitySettings,
    merge: Merge | None,
    *,
    migrated: bool = True,
) -> Details:
    """What is needed of the database to load these files.

    Args:
        conn: to read on.
        facts: of the target.
        parts: the files.
        settings: that name types.
        merge: how the rows are merged with the target's; None if they are not.
        migrated: the database has pgpipe's schema.
    """
    fields = [field for part in {id(part.schema): part for part in parts}.values() for field in part.schema]
    names = {field.name for field in fields}
    declared = {
        name: _declared(conn, kind, DECLARED if migrated else UNMIGRATED)
        for name, kind in settings.types.items()
        if name in names
    }
    details, table = Details(declared), facts.table
    if table and parts:
        valued = {field.name for field in fields if not types.hollow(field.type)}
        changeable = facts.access.owned and settings.contract == "evolve"
        untyped = [c.name for c in facts.columns if changeable and c.untyped and c.name in valued]
        details = replace(details, homeless=homeless(conn, facts, parts), **_shape(conn, table, untyped))
    if table is None or merge is None:
        return details
    whole_is_empty = merge.mode == "snapshot" and not any(sum(part.rows) for part in parts)
    not_unique = _not_unique(conn, table, merge.key, merge.mode)
    return replace(details, not_unique=not_unique, has_rows=whole_is_empty and has_rows(conn, table))


def _shape(conn: Connection, table: Target, untyped: list[str]) -> dict[str, Any]:
    """What forbids changes of the table's columns, and which of the untyped ones have no value."""
    with translated():
        dependents = {name: tuple(found) for name, found in conn.execute(DEPENDENTS, (table.oid,))}
        empty = frozenset(name for name in untyped if not one(conn, HAS_VALUE, (table.oid, name)))
        return {"dependents": dependents, "empty": empty, "closed": one(conn, CLOSED, (table.oid,)) or ""}


def _kind(row: Sequence[Any]) -> Kind:
    kind, base, labels, element, reads = row
    return Kind(kind, base, tuple(labels), element, reads)


def _declared(conn: Connection, declared: str, query: LiteralString) -> Kind | None:
    with translated():
        row = conn.execute(query, {"declared": declared}).fetchone()
    return None if row is None or row[0] is None else _kind(row)


def _not_unique(conn: Connection, table: Target, key: tuple[str, ...], mode: Mode) -> errors.PgpipeError | None:
    """What the database says, if two rows of the target have one key. It reads the rows only if no index tells."""
    try:
        with translated():
            conn.execute(REQUIRE_UNIQUE, (table.oid, list(key), mode))
    except errors.DataError as exc:
        return exc
    return None


def check_delete(conn: Connection, changes: Changes, columns: Sequence[Column], entity: str) -> None:
    """Have the database read the condition of a delete.

    Raises:
        UsageError: it is not a condition on these columns.
    """
    if changes.delete is None:
        return
    known = [{"name": column.name, "type": column.sql} for column in columns]
    try:
        with translated():
            conn.execute(CHECK_DELETE, (Jsonb(known), condition(changes, columns)))
    except errors.UsageError as exc:
        raise errors.UsageError(f"{entity}: entity.{entity}.delete: {exc}") from exc


def has_rows(conn: Connection, table: Target) -> bool:
    """Whether the table has any."""
    with translated():
        row = conn.execute(HAS_ROWS.format(sql.Identifier(*table.pair))).fetchone()
    return bool(row and row[0])


def require_history(conn: Connection, facts: Facts, entity: str, columns: Sequence[str]) -> None:
    """Refuse a history that cannot be kept.

    Raises:
        DataError: the caller may not, or a name is taken.
    """
    with translated():
        obstacle = one(conn, HISTORY_OBSTACLE, (facts.schema, entity, facts.table and facts.table.oid, list(columns)))
    if obstacle:
        raise errors.DataError(f"{entity}: {obstacle}")


def require_soft_delete(conn: Connection, facts: Facts, entity: str, wanted: str | None) -> None:
    """Refuse marks that cannot be kept.

    Raises:
        DataError: the column is gone, or cannot hold them; or the caller may not.
    """
    with translated():
        obstacle = one(conn, SOFT_DELETE_OBSTACLE, (facts.table and facts.table.oid, wanted)) if facts.table else None
    if obstacle:
        raise errors.DataError(f"{entity}: {obstacle}")
