"""A second look at rows that the server refused: which they are, and whether the rest may be loaded without them."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import psycopg
from psycopg import sql

from pgpipe.db import Connection, one, translated
from pgpipe.db.encoding import codec
from pgpipe.errors import DataError
from pgpipe.load.plan.changes import condition
from pgpipe.load.plan.parts import Part
from pgpipe.load.rows.ask import Asker
from pgpipe.load.rows.read import row_groups
from pgpipe.load.rows.rejects import Known, Reasons, bad_row
from pgpipe.load.write import copy
from pgpipe.load.write.oversized import find_oversized
from pgpipe.load.write.run import DROP_STAGING, Lesson, Run, create_staging
from pgpipe.load.write.stage import CHANGES

DROP_DELETES = "select pgpipe_internal.drop_deletes(%s::oid::regclass, %s)"
FIND_VIOLATIONS = """
    select part, row_number, rule, of_columns
      from pgpipe_internal.find_violations(%s::oid::regclass, %s::oid::regclass, %s, %s)
     order by part, row_number, rule
"""
INDEXED = "select pgpipe_internal.indexed_columns(%s::oid::regclass)"

T = TypeVar("T")


class Diagnosis:
    """Attempts of a load: what the server refuses is found, and the second attempt knows it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._columns = run.plan.columns
        self._codec = codec(run.conn)
        self._lock = threading.Lock()  # there is one staging table

    def twice(self, conn: Connection, parts: Sequence[Part], attempt: Callable[[Lesson], T]) -> T:
        """Attempt something with the rows of these files on this connection, twice at most.

        Raises:
            DataError: a bad row whose policy is `error`; it is named.
        """
        with self.first() as first:
            try:
                return attempt(first)
            except DataError as exc:
                lesson = self.learnt(conn, parts, exc, first)
            return attempt(lesson)

    @contextmanager
    def first(self) -> Iterator[Lesson]:
        """What the first attempt knows."""
        with Asker(self._run.database) as asker:
            yield Lesson(tuple(replace(column, reader=asker.read) for column in self._columns))

    def learnt(self, conn: Connection, parts: Sequence[Part], exc: DataError, first: Lesson) -> Lesson:
        """What a refusal teaches: to look at each value as the server does, and which rows break a CHECK.

        Raises:
            DataError: the refusal, if it teaches nothing; or a bad row whose policy is `error`, by name.
        """
        lenient = any(column.bad != "error" for column in self._columns)
        located = isinstance(exc, copy.RefusedByServer)
        lesson = Lesson(tuple(replace(column, careful=True, codec=self._codec) for column in first.columns))
        if copy.is_oversized(exc.__cause__) and located:
            with self._lock:
                return replace(lesson, known=self._find_oversized(conn, parts, lesson))
        if _is_too_large(exc) and not located:  # a key, or another value of an index
            names = self._indexed(conn)
            return Lesson(tuple(replace(column, indexed=column.name in names) for column in lesson.columns))
        if _breaks_check(exc) and (lenient or not located):
            with self._lock:
                return replace(lesson, known=self._find_violations(conn, parts, lesson))
        if not (lenient and located):
            raise exc
        return lesson

    def _indexed(self, conn: Connection) -> set[str]:
        """The columns that an index of the target holds."""
        target = self._run.plan.target
        with translated():
            found = one(conn, INDEXED, (target.oid,)) if target else ()
        return {*self._run.plan.key, *found}

    def _find_oversized(self, conn: Connection, parts: Sequence[Part], lesson: Lesson) -> Known:
        """Stage the rows once more, to find those that are too large for a page."""
        run, todo = self._run, row_groups(parts)
        with translated():
            staging = create_staging(conn, run, self._columns, unlogged=True)
            table, stop = sql.Identifier(*staging.pair), threading.Event()
            copier = copy.Copier(run.source, table, lesson, lambda _rows: None, stop, run.rejects)
            rejectable = any(column.bad == "reject" for column in self._columns)
            found = find_oversized(conn, copier, todo, run.rejects.limit if rejectable else 0)
            conn.execute(DROP_STAGING, (staging.oid,))
        for group, reasons in found.items():
            for row, (column, reason) in reasons.items():
                if not rejectable:
                    raise bad_row(group, row, column, reason)
        return {group.place: reasons for group, reasons in found.items()}

    def _find_violations(self, conn: Connection, parts: Sequence[Part], lesson: Lesson) -> Known:
        """Stage the rows with where they come from, and ask the database which of them break a CHECK."""
        run, todo = self._run, row_groups(parts)
        numbers = {group.place: number for number, group in enumerate(todo)}
        changes = run.plan.changes
        traced = [*self._columns, *CHANGES]
        with translated():
            staging = create_staging(conn, run, traced, unlogged=True)
            table, stop = sql.Identifier(*staging.pair), threading.Event()
            copier = copy.Copier(run.source, table, lesson, lambda _rows: None, stop, run.rejects, numbers)
            with conn.transaction():
                copier.copy(conn, todo)
                if changes and changes.delete:
                    conn.execute(DROP_DELETES, (staging.oid, condition(changes, self._columns)))
            names, key = [column.name for column in self._columns], list(run.plan.key)
            found = conn.execute(FIND_VIOLATIONS, (run.target.oid, staging.oid, names, key)).fetchall()
            conn.execute(DROP_STAGING, (staging.oid,))
        known: dict[tuple[str, int], Reasons] = {}
        policies = {column.name: column.bad for column in self._columns}
        for number, row, rule, columns in found:
            group = todo[number]
            reason = _reason(rule)
            if "reject" not in {policies.get(name) for name in columns}:
                raise bad_row(group, row, columns[0] if len(columns) == 1 and not rule else None, reason)
            of_group = known.setdefault(group.place, {})
            of_group.setdefault(row, (columns[0] if len(columns) == 1 else None, reason))
        return known


def _is_too_large(exc: DataError) -> bool:
    return isinstance(exc.__cause__, psycopg.errors.ProgramLimitExceeded)


def _reason(rule: str | None) -> str:
    if rule is None:
        return "no partition of the table takes this row"
    return f'violates check constraint "{rule}"' if rule else "NULL, and the column is NOT NULL"


def _breaks_check(exc: DataError) -> bool:
    """Whether it is a CHECK of a table; the server names the row of one of a domain.

    NULLs of change files are found by the server alone: deletes may have them.
    """
    cause = exc.__cause__
    if isinstance(cause, psycopg.errors.NotNullViolation):
        return True
    return isinstance(cause, psycopg.errors.CheckViolation) and cause.diag.datatype_name is None
