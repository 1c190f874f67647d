"""Tables by one address: a name is resolved once, to what the server calls the table, and that is passed on."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pgpipe.db import Connection, translated
from pgpipe.db.encoding import MARKED, storable
from pgpipe.errors import UsageError

# What pgpipe has declared something for, and what the given schemas and names mean.
TABLES = """
    select c.oid::bigint, n.nspname, c.relname
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.oid in (select s.target from pgpipe.search s
                     union select f.target from pgpipe.search_fill f
                     union select e.target from pgpipe.embedding e
                     union select to_regclass(format('%%I.%%I', m.schema, m.name))
                             from unnest(%s::text[], %s::text[]) m (schema, name))
       and c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname <> 'pgpipe_staging'
     order by n.nspname, c.relname
"""
AT = """
    select c.oid::bigint, n.nspname, c.relname
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.oid = to_regclass(format('%%I.%%I', %s::text, %s::text))
"""
PART = r'(?:"((?:[^"]|"")+)"|([^".]+))'
QUALIFIED = re.compile(rf'{PART}(?:\.(?:"((?:[^"]|"")+)"|([^"]+)))?')  # name, "name", schema.name, "schema"."name"

T = TypeVar("T", bound="Target")


class UnknownName(UsageError):
    """No table has the name."""


@dataclass(frozen=True)
class Target:
    """A table."""

    oid: int
    schema: str
    name: str

    @property
    def qualified(self) -> str:
        """`schema.name`, whatever the settings are."""
        return self.label(home="")

    @property
    def pair(self) -> tuple[str, str]:
        """Schema and name."""
        return self.schema, self.name

    @property
    def held(self) -> tuple[int, str]:
        """As messages on locks name it."""
        return self.oid, self.qualified

    def label(self, home: str) -> str:
        """How commands show it and take it: `name` in the schema of the settings (`home`), else `schema.name`."""
        return label(self.schema, self.name, home)


def label(schema: str, name: str, home: str) -> str:
    """As `Target.label`."""
    return _quoted(name) if schema == home else f"{_quoted(schema)}.{_quoted(name)}"


def labelled(rows: Iterable[dict[str, Any]], home: str) -> list[dict[str, Any]]:
    """Rows of a query with `schema` and `entity`: the former goes into the latter, if it is not `home`."""
    return [
        {name: value for name, value in row.items() if name != "schema"}
        | {"entity": label(row["schema"], row["entity"], home)}
        for row in rows
    ]


def readings(name: str, home: str) -> list[tuple[str, str]]:
    """The schemas and names that a name may stand for: as its dot and its quotes say, else as it is, in `home`."""
    schema, table = _parsed(name)
    return list(dict.fromkeys([(home if schema is None else schema, table), (home, name)]))


def matching(name: str, tables: Sequence[T], home: str) -> list[T]:
    """The tables that a name means. A name without schema is of `home`; if none is there, of any other schema."""
    for pair in readings(name, home):
        if exact := [table for table in tables if table.pair == pair]:
            return exact
    schema, bare = _parsed(name)
    return [table for table in tables if table.name in {name, bare if schema is None else name}]


def at(conn: Connection, schema: str, name: str) -> Target | None:
    """The table of this name in this schema; None if it is not there."""
    with translated():
        row = conn.execute(AT, (schema, name)).fetchone()
    return Target(*row) if row else None


def require(conn: Connection, schema: str, name: str) -> Target:
    """As `at`.

    Raises:
        UsageError: it is not there.
    """
    target = at(conn, schema, name)
    if target is None:
        raise UsageError(f"the table {label(schema, name, home='')} does not exist")
    return target


def find(conn: Connection, name: str, home: str) -> Target:
    """The table of that name: `name` in the schema of the settings, `schema.name`, or the only one that pgpipe knows.

    Raises:
        UsageError: there is none, or there are several.
    """
    name = storable(conn, name, MARKED)
    wanted = readings(name, home)
    with translated():
        rows = conn.execute(TABLES, ([schema for schema, _ in wanted], [table for _, table in wanted])).fetchall()
    tables = [Target(*row) for row in rows]
    return only(name, tables, home, f"the table {label(*wanted[0], home='')} does not exist; known are {{}}")


def only(name: str, tables: Sequence[T], home: str, unknown: str) -> T:
    """The one table that a name means.

    Args:
        name: as a user wrote it.
        tables: those that there are.
        home: the schema of the settings.
        unknown: what is said if it means none; `{}` stands for the tables.

    Raises:
        UnknownName: it means none.
        UsageError: it means several.
    """
    meant = matching(name, tables, home)
    if len(meant) == 1:
        return meant[0]
    if meant:
        names = " or ".join(table.qualified for table in meant)
        raise UsageError(f"the name {name!r} is ambiguous: write {names}")
    raise UnknownName(unknown.replace("{}", ", ".join(table.label(home) for table in tables) or "none"))


def _quoted(part: str) -> str:
    """In double quotes if it would be read otherwise without them."""
    return '"' + part.replace('"', '""') + '"' if "." in part or '"' in part else part


def _parsed(name: str) -> tuple[str | None, str]:
    """Schema and name; no schema if the name states none."""
    match = QUALIFIED.fullmatch(name)
    if match is None:
        return None, name
    first, second = (
        quoted.replace('""', '"') if quoted else plain for quoted, plain in (match.group(1, 2), match.group(3, 4))
    )
    return (None, first) if second is None else (first, second)
