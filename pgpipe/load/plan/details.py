"""Reading what a plan needs once it is clear that files will be loaded: of their types, and of the target's rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, LiteralString

from psycopg.types.json import Jsonb

from pgpipe import errors
from pgpipe.db import Connection, one, translated
from pgpipe.load import types
from pgpipe.load.kinds import Kind
from pgpipe.load.plan.bounds import homeless
from pgpipe.load.plan.changes import Changes, condition
from pgpipe.load.plan.facts import Details, Facts
from pgpipe.load.plan.parts import Column, Part
from pgpipe.load.plan.target import as_kind, has_rows
from pgpipe.settings.entity import EntitySettings, Mode
from pgpipe.target import Target

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
WHY_GENERATED = "select pgpipe_internal.why_generated_key_stays(%s::oid::regclass, %s)"
REQUIRE_UNIQUE = "select pgpipe_internal.require_unique(%s::oid::regclass, %s, %s)"
CHECK_DELETE = "select pgpipe_internal.check_delete(%s, %s)"
SOFT_DELETE_OBSTACLE = "select pgpipe_internal.soft_delete_obstacle(%s::oid::regclass, %s)"
HISTORY_OBSTACLE = "select pgpipe_internal.history_obstacle(%s, %s, %s::oid::regclass, %s)"


@dataclass(frozen=True)
class Merge:
    """How rows are merged with those of a target."""

    key: tuple[str, ...]
    mode: Mode


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


def _declared(conn: Connection, declared: str, query: LiteralString) -> Kind | None:
    with translated():
        row = conn.execute(query, {"declared": declared}).fetchone()
    return None if row is None or row[0] is None else as_kind(row)


def why_generated_key_stays(conn: Connection, table: Target, key: tuple[str, ...]) -> str | None:
    """Why the configured key cannot take the place of the generated one; None if it can."""
    with translated():
        why: str | None = one(conn, WHY_GENERATED, (table.oid, list(key)))
    return why


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
