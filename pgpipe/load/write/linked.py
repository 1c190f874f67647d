"""Entities that foreign keys link: each is staged by itself, then all are written in one transaction.

What others refer to is inserted first and deleted last. So no row ever refers to one that is not there, and no cascade
meets a row that stays.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import psycopg
from psycopg import sql

from pgpipe.db import Connection, translate, translated
from pgpipe.errors import DataError
from pgpipe.load.write.append import append_at_once, append_staged
from pgpipe.load.write.diagnose import Diagnosis
from pgpipe.load.write.key import key_indexes
from pgpipe.load.write.merge import delete_rest, merge_staged
from pgpipe.load.write.rivals import among_rivals
from pgpipe.load.write.run import DROP_STAGING, Counts, Lesson, Run, blamed, record, reveal
from pgpipe.load.write.stage import Staged, stage

DEFER = sql.SQL("set constraints {} deferred")
CHECK = "set constraints all immediate"
Lessons = dict[str, Lesson]


def write_linked(runs: Sequence[Run], deferrable: Sequence[str]) -> dict[str, Counts]:
    """Write all or none; an entity whose rows are refused is looked at once more, as if it were alone.

    Args:
        runs: on one connection; those that others refer to first.
        deferrable: the foreign keys that may be checked at the end.

    Raises:
        PgpipeError: with the entity that failed.
    """
    diagnoses = {run.entity: Diagnosis(run) for run in runs}
    known = {run.entity: run for run in runs}
    with key_indexes(runs), ExitStack() as stack:
        lessons = {entity: stack.enter_context(diagnosis.first()) for entity, diagnosis in diagnoses.items()}
        while True:
            try:
                return _attempt(runs, lessons, deferrable)
            except DataError as exc:
                run = known.pop(exc.entity or "", None)
                if run is None:  # nothing more can be learnt
                    raise
                first = lessons[run.entity]
                with blamed(run.entity):
                    lessons[run.entity] = diagnoses[run.entity].learnt(run.conn, run.plan.parts, exc, first)


def _attempt(runs: Sequence[Run], lessons: Lessons, deferrable: Sequence[str]) -> dict[str, Counts]:
    conn, staged = runs[0].conn, dict[str, Staged]()
    for run in runs:
        if run.plan.action == "merge" or (run.plan.action == "append" and run.plan.is_staged):
            with blamed(run.entity):
                staged[run.entity] = stage(run, lessons[run.entity])

    def write() -> dict[str, Counts]:
        with translated(), conn.transaction():
            if deferrable:
                conn.execute(DEFER.format(sql.SQL(", ").join(_in_schema(runs[0], name) for name in deferrable)))
            counts = {run.entity: _write(run, staged, lessons) for run in runs}
            for run in reversed(runs):
                if run.plan.action == "merge":
                    with blamed(run.entity):
                        deleted, kept = delete_rest(run, staged[run.entity])
                        counts[run.entity] = replace(counts[run.entity], deleted=deleted, kept=kept)
            _check(conn, {run.entity for run in runs})
            for run in runs:
                _end(run, staged, counts[run.entity])
        for run in runs:
            reveal(run)
        return counts

    return among_rivals(write, f"the merge of {', '.join(run.entity for run in runs)}", runs[0].patience.tell)


def _in_schema(run: Run, constraint: str) -> sql.Identifier:
    return sql.Identifier(run.database.schema, constraint)


def _write(run: Run, staged: dict[str, Staged], lessons: Lessons) -> Counts:
    with blamed(run.entity):
        if run.plan.action == "append":
            rows = staged.get(run.entity)
            return append_staged(run, rows) if rows else append_at_once(run, lessons[run.entity])
        return merge_staged(run, staged[run.entity], deletes_later=True) if run.entity in staged else Counts()


def _check(conn: Connection, entities: set[str]) -> None:
    """What was deferred, so that it is known which entity fails."""
    try:
        conn.execute(CHECK)
    except psycopg.Error as exc:
        error = translate(exc)
        error.entity = exc.diag.table_name if exc.diag.table_name in entities else None
        raise error from exc


def _end(run: Run, staged: dict[str, Staged], counts: Counts) -> None:
    with blamed(run.entity):
        if run.plan.action != "append" or run.entity in staged:
            record(run, counts)
        if run.entity in staged:
            run.conn.execute(DROP_STAGING, (staged[run.entity].table.oid,))
