"""How rows reach a target: built in staging and published, merged, or appended; always together with the ledger."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from pgpipe import errors
from pgpipe.db import Connection, Database, translated
from pgpipe.db.encoding import codec, storable
from pgpipe.load.plan.decide import Plan, one
from pgpipe.load.plan.files import Column, Part
from pgpipe.load.rows import read
from pgpipe.load.rows.rejects import Rejects
from pgpipe.load.write import copy
from pgpipe.load.write.diagnose import CREATE_STAGING, DROP_STAGING, SecondLook, as_json
from pgpipe.source import File, Source

KEEP_LEDGER = "select pgpipe.keep_ledger(format('%%I.%%I', %s::text, %s::text)::regclass, %s)"
MOVE_LEDGER = "select pgpipe_internal.record_files(%s, %s)"
REJECT_ROWS = "select pgpipe_internal.reject_rows(%s, %s::jsonb)"
REJECTED_AT_ONCE = 500
END_LOAD = """
    update pgpipe.load
       set finished_at = clock_timestamp(), read = %s, inserted = %s, updated = %s, deleted = %s, unchanged = %s,
           rejected = %s, left_out = %s
     where load_id = %s
"""
ADD_ROWS = """
    update pgpipe.load
       set read = read + %s, inserted = inserted + %s, rejected = rejected + %s, left_out = left_out + %s
     where load_id = %s
"""
END_APPEND = "update pgpipe.load set finished_at = clock_timestamp() where load_id = %s"
INDEX_STAGING = "select pgpipe_internal.index_staging(%s, %s)"
PUBLISH = "select pgpipe_internal.publish(%s, %s)"
MERGE = """
    select inserted, updated, deleted, unchanged, left_out, kept
      from pgpipe_internal.merge(format('%%I.%%I', %s::text, %s::text)::regclass,
                        format('pgpipe_staging.%%I', %s::text)::regclass, %s, %s, %s, %s::jsonb, %s, %s)
"""
EVOLVE = "select pgpipe_internal.evolve(format('%%I.%%I', %s::text, %s::text)::regclass, %s, %s)"
ADD_COLUMNS = """
    select pgpipe_internal.add_columns(format('%%I.%%I', %s::text, %s::text)::regclass,
                              format('pgpipe_staging.%%I', %s::text)::regclass, %s, %s, %s)
"""
COMMIT_BYTES = 32 << 20  # uncompressed: what `append` commits at once, if it is more than one file
COMMIT_FILES = 1000


@dataclass(frozen=True)
class Counts:
    """What a load did, in rows."""

    read: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    rejected: int = 0  # of those read
    left_out: int = 0  # of those read, by a trigger, rule or policy of the target
    mended: int = 0  # values stripped or cleared
    filled: int = 0  # rows written only because a column is new
    kept: int = 0  # rows that were to be deleted, kept by a trigger, rule or policy of the target


Prepare = Callable[[Connection, Plan], None]  # declares search and embedding on a table that is being made


@dataclass(frozen=True)
class Run:
    """A load that is under way."""

    conn: Connection
    plan: Plan
    load_id: int
    prepare: Prepare
    progress: copy.Progress
    rejects: Rejects


class Steps:
    """What a plan's action stands for, over up to `jobs` connections."""

    def __init__(self, database: Database, source: Source, jobs: int) -> None:
        self._database = database
        self._source = source
        self._jobs = jobs

    def do(self, run: Run) -> Counts:
        """Do what is planned; whole or, where it fails, not at all (`append`: file by file)."""
        plan = run.plan
        if plan.action == "recognise":
            with translated(), run.conn.transaction():
                counts = Counts()
                _record(run, counts)
            return counts
        look = SecondLook(self._database, self._source, plan.files.entity, plan.columns, run.rejects, codec(run.conn))
        if plan.action == "append":
            return self._append(run, look)
        step = self._create if plan.action == "create" else self._merge
        return look.do(plan.parts, lambda columns: step(run, columns))

    def _create(self, run: Run, columns: list[Column]) -> Counts:
        """Build the target in staging on all connections, index it, publish it with its ledger entries by a rename."""
        conn, plan, rejects = run.conn, run.plan, run.rejects
        entity = plan.files.entity
        with translated(), conn.transaction():
            conn.execute(CREATE_STAGING, (entity, as_json(plan.columns), list(plan.key), False))
            run.prepare(conn, plan)
        rows = self._copy(run, columns)
        with translated():
            conn.execute(INDEX_STAGING, (entity, list(plan.key)))
            with conn.transaction():
                conn.execute(PUBLISH, (entity, self._database.schema))
                conn.execute(KEEP_LEDGER, (self._database.schema, entity, entity))
                counts = _inserted(rows, rejects)
                _record(run, counts)
        return counts

    def _merge(self, run: Run, columns: list[Column]) -> Counts:
        """Stage all files, then touch only the rows that differ, in one transaction with the ledger."""
        conn, plan, rejects = run.conn, run.plan, run.rejects
        entity, key = plan.files.entity, list(plan.key)
        with translated():
            conn.execute(CREATE_STAGING, (entity, as_json(plan.columns), key, True))
        rows = self._copy(run, columns)
        with translated(), conn.transaction():
            tables = (self._database.schema, entity, entity)
            self._evolve(conn, plan, ())  # a merge adds columns itself, where it can fill them
            filled = 0
            if plan.evolution.add:
                filled = one(conn, ADD_COLUMNS, (*tables, as_json(plan.evolution.add), key, plan.mode))
            names = [c.name for c in plan.columns]
            limit, rejected = plan.max_deleted, storable(conn, rejects.keys)
            merged = conn.execute(MERGE, (*tables, names, key, plan.mode, rejected, limit.rows, limit.share)).fetchone()
            assert merged is not None
            inserted, updated, deleted, unchanged, left_out, kept = merged
            counts = Counts(
                rows + rejects.count,
                inserted,
                updated,
                deleted,
                unchanged,
                rejects.count,
                left_out,
                rejects.mended,
                filled,
                kept,
            )
            _record(run, counts)
            conn.execute(DROP_STAGING, (entity,))
        return counts

    def _append(self, run: Run, look: SecondLook) -> Counts:
        """Copy straight into the target, each transaction some whole files with their ledger entries."""
        plan, load_id, rejects = run.plan, run.load_id, run.rejects
        table = sql.Identifier(self._database.schema, plan.files.entity)
        stop = threading.Event()

        def commit(conn: Connection, parts: list[Part], *, evolve: bool = False) -> int:
            return look.do(parts, lambda columns: commit_once(conn, parts, columns, evolve=evolve))

        def commit_once(conn: Connection, parts: list[Part], columns: list[Column], *, evolve: bool) -> int:
            copier = copy.Copier(self._source, table, columns, run.progress, stop, rejects)
            with translated(), conn.transaction():
                if evolve:  # in the transaction that brings the first rows of the new shape: it fails with them
                    self._evolve(conn, plan, plan.evolution.add)
                rows = copier.copy(conn, read.units(parts))
                _enter(conn, load_id, [_entry(part.file, sum(part.rows), rejects) for part in parts], rejects)
                read_ = sum(sum(part.rows) for part in parts)
                rejected = sum(len(rejects.of(part.file.uri)) for part in parts)
                conn.execute(ADD_ROWS, (read_, rows, rejected, read_ - rejected - rows, load_id))
            return rows

        def commit_all(conn: Connection) -> int:
            return sum(_each_or_all(lambda some: commit(conn, some), parts) for parts in left)

        waiting = commits(plan.parts)
        rows = 0
        if plan.evolution.add or plan.evolution.widen:  # alone: the table is locked while its shape changes
            rows += commit(run.conn, waiting.pop(0), evolve=True)
        left = copy.drained(waiting)
        jobs = min(self._jobs, len(waiting))
        if jobs > 1:
            rows += sum(copy.on_connections(self._database, jobs, commit_all, stop))
        else:
            rows += commit_all(run.conn)
        with translated():
            run.conn.execute(END_APPEND, (load_id,))
        return replace(_inserted(rows, rejects), read=plan.rows, left_out=plan.rows - rejects.count - rows)

    def _evolve(self, conn: Connection, plan: Plan, add: tuple[Column, ...]) -> None:
        """Change the target within the transaction that brings the first rows of the new shape: it fails with them."""
        if add or plan.evolution.widen:
            changes = as_json(add), as_json(plan.evolution.widen)
            conn.execute(EVOLVE, (self._database.schema, plan.files.entity, *changes))

    def _copy(self, run: Run, columns: list[Column]) -> int:
        table = sql.Identifier("pgpipe_staging", run.plan.files.entity)
        parts = list(run.plan.parts)
        return copy.copy_parallel(
            self._database, self._source, parts, table, columns, self._jobs, run.progress, run.rejects
        )


def commits(parts: tuple[Part, ...]) -> list[list[Part]]:
    """Whole files in their order, small ones together: the transactions of an append."""
    groups: list[list[Part]] = []
    size = 0
    for part in parts:
        if groups and size + sum(part.bytes) <= COMMIT_BYTES and len(groups[-1]) < COMMIT_FILES:
            groups[-1].append(part)
            size += sum(part.bytes)
        else:
            groups.append([part])
            size = sum(part.bytes)
    return groups


def _each_or_all(commit: Callable[[list[Part]], int], parts: list[Part]) -> int:
    """Commit files together; where one of them is bad, each alone, so that it takes none of those before it along."""
    try:
        return commit(parts)
    except errors.DataError:
        if len(parts) == 1:
            raise
        return sum(commit([part]) for part in parts)


def _inserted(rows: int, rejects: Rejects) -> Counts:
    return Counts(read=rows + rejects.count, inserted=rows, rejected=rejects.count, mended=rejects.mended)


def _record(run: Run, counts: Counts) -> None:
    plan = run.plan
    rows = {part.file.uri: sum(part.rows) for part in plan.parts}
    entries = [
        _entry(file, rows.get(file.uri), run.rejects)
        for file in plan.files.files
        if file.uri in rows or plan.mode == "snapshot"
    ]
    _enter(run.conn, run.load_id, entries, run.rejects)
    done = (counts.read, counts.inserted, counts.updated, counts.deleted, counts.unchanged)
    run.conn.execute(END_LOAD, (*done, counts.rejected, counts.left_out, run.load_id))


def _enter(conn: Connection, load_id: int, entries: list[dict[str, Any]], rejects: Rejects) -> None:
    """The entries of the ledger, and the rows of these files that were rejected."""
    conn.execute(MOVE_LEDGER, (load_id, Jsonb(entries)))
    rows = [row for entry in entries for row in rejects.of(entry["file"])]
    for first in range(0, len(rows), REJECTED_AT_ONCE):
        some = rows[first : first + REJECTED_AT_ONCE]
        conn.execute(REJECT_ROWS, (load_id, storable(conn, f"[{','.join(row.as_json() for row in some)}]")))


def _entry(file: File, rows: int | None, rejects: Rejects) -> dict[str, Any]:
    """A file for the ledger; without a number of rows it was not read, but recognised."""
    identity = {"file": file.uri, "etag": file.identity, "bytes": file.bytes}
    return identity | {"read": rows or 0, "rejected": len(rejects.of(file.uri)), "recognised": rows is None}
