"""A second look at rows that the server refused: which they are, and whether the rest may be loaded without them."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from pgpipe.db import Database, translated
from pgpipe.errors import DataError
from pgpipe.load.plan.files import Column, Part
from pgpipe.load.rows.read import units
from pgpipe.load.rows.rejects import Rejects, bad_row
from pgpipe.load.write import copy
from pgpipe.source import Source

CREATE_STAGING = "select pgpipe_internal.create_staging(%s, %s, %s, %s)"
DROP_STAGING = "select pgpipe_internal.drop_staging(%s)"
FIND_VIOLATIONS = """
    select part, row_number, rule, of_columns
      from pgpipe_internal.find_violations(format('%%I.%%I', %s::text, %s::text)::regclass,
                                  format('pgpipe_staging.%%I', %s::text)::regclass, %s, %s)
     order by part, row_number, rule
"""

T = TypeVar("T")


class SecondLook:
    """Tries something with a load's columns; what the server refuses is found and tried once more without it."""

    def __init__(
        self,
        database: Database,
        source: Source,
        entity: str,
        columns: Sequence[Column],
        rejects: Rejects,
        codec: str | None = None,
    ) -> None:
        self._database = database
        self._source = source
        self._entity = entity
        self._columns = list(columns)
        self._rejects = rejects
        self._codec = codec
        self._lock = threading.Lock()  # there is one staging table

    def do(self, parts: Sequence[Part], attempt: Callable[[list[Column]], T]) -> T:
        """Do it with the rows of these files, twice at most.

        Raises:
            DataError: a bad row whose policy is `error`; it is named.
        """
        try:
            return attempt(self._columns)
        except DataError as exc:
            lenient = any(column.bad != "error" for column in self._columns)
            located = isinstance(exc, copy.RefusedByServer)
            if _breaks_check(exc) and (lenient or not located):
                with self._lock:
                    self._find_violations(parts)
            elif not (lenient and located):
                raise
        return attempt(self._careful())

    def _careful(self) -> list[Column]:
        return [replace(column, careful=True, codec=self._codec) for column in self._columns]

    def _find_violations(self, parts: Sequence[Part]) -> None:
        """Stage the rows with where they come from, and ask the database which of them break a CHECK."""
        todo = units(parts)
        numbers = {(unit.part.file.uri, unit.group): number for number, unit in enumerate(todo)}
        table = sql.Identifier("pgpipe_staging", self._entity)
        copier = copy.Copier(
            self._source, table, self._careful(), lambda _rows: None, threading.Event(), self._rejects, numbers
        )
        staged = [*self._columns, *(Column(name, "bigint") for name in copy.TRACE)]
        key = list(self._rejects.key)
        with self._database.connect(autocommit=True) as conn, translated():
            conn.execute(CREATE_STAGING, (self._entity, as_json(staged), key, True))
            with conn.transaction():
                copier.copy(conn, todo)
            names = [column.name for column in self._columns]
            tables = (self._database.schema, self._entity, self._entity)
            found = conn.execute(FIND_VIOLATIONS, (*tables, names, key)).fetchall()
            conn.execute(DROP_STAGING, (self._entity,))
        policies = {column.name: column.bad for column in self._columns}
        for number, row, rule, columns in found:
            unit = todo[number]
            if "reject" not in {policies.get(name) for name in columns}:
                raise bad_row(unit, row, None, f'violates check constraint "{rule}"')
            of_unit = self._rejects.known.setdefault((unit.part.file.uri, unit.group), {})
            of_unit.setdefault(row, (columns[0] if len(columns) == 1 else None, f'violates check constraint "{rule}"'))


def _breaks_check(exc: DataError) -> bool:
    """Whether it is a CHECK of a table; that of a domain is told with its row."""
    cause = exc.__cause__
    return isinstance(cause, psycopg.errors.CheckViolation) and cause.diag.datatype_name is None


def as_json(columns: Sequence[Column]) -> Jsonb:
    """Columns as the SQL functions take them."""
    return Jsonb([{"name": c.name, "type": c.sql} for c in columns])
