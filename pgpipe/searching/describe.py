"""What can be searched: each table with its columns and its modes, for programs that choose by themselves."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from pgpipe.searching.ask import SEARCHABLE, Searchable, SearchMode, Statement

COLUMNS = """
    select c.oid::bigint as oid, a.attname::text as name, pg_catalog.format_type(a.atttypid, a.atttypmod) as type,
           coalesce(s.weights ? a.attname, false) as searched
      from pg_catalog.pg_class c
      join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      left join pgpipe.search s on s.target = c.oid
     where c.oid = any(%(oids)s) and a.atttypid <> 'pg_catalog.tsvector'::pg_catalog.regtype
       and pg_catalog.has_column_privilege(c.oid, a.attnum, 'select')
     order by c.oid, a.attnum
"""


@dataclass(frozen=True)
class Column:
    """A column that the role may read."""

    oid: int  # of the table
    name: str
    type: str
    searched: bool  # by words


@dataclass(frozen=True)
class Described:
    """A table that can be searched."""

    entity: str
    modes: list[SearchMode]  # the default one first
    columns: list[Column]


def describe(home: str) -> Generator[Statement[Any], Any, list[Described]]:
    """The steps that tell what can be searched; names are those that `search` takes."""
    tables: list[Searchable] = yield SEARCHABLE
    columns: list[Column] = yield Statement(COLUMNS, Column, {"oids": [table.oid for table in tables]})
    return [
        Described(table.label(home), _modes(table), [column for column in columns if column.oid == table.oid])
        for table in tables
    ]


def _modes(table: Searchable) -> list[SearchMode]:
    possible: dict[SearchMode, bool] = {
        "hybrid": table.best_mode == "hybrid",
        "text": table.searched,
        "vector": table.model is not None and table.vectors,
    }
    return [mode for mode, holds in possible.items() if holds]
