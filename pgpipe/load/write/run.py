"""A load that is under way: what its parts share, and what it writes down together with its rows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from pgpipe.db import Connection, Database, Patience, briefly, translated
from pgpipe.db.encoding import storable
from pgpipe.errors import DataError, PgpipeError
from pgpipe.load.plan.outline import Plan
from pgpipe.load.plan.parts import Column
from pgpipe.source import File, Source
from pgpipe.target import Target, at

if TYPE_CHECKING:  # who has nothing to write does without
    from pgpipe.load.rows.rejects import Known, Rejects

STAGING = "pgpipe_staging"
CREATE_STAGING = """
    select made::oid::bigint, pgpipe_internal.staging_name(%(schema)s, %(entity)s)
      from pgpipe_internal.create_staging(%(schema)s, %(entity)s, %(columns)s, %(key)s, %(unlogged)s) made
"""
KEEP_LEDGER = "select pgpipe.keep_ledger(%s::oid::regclass, %s)"
DROP_STAGING = "select pgpipe_internal.drop_staging(%s::oid::regclass)"
EVOLVE = "select pgpipe_internal.evolve(%s::oid::regclass, %s, %s)"
SET_SOFT_DELETE = "select pgpipe_internal.set_soft_delete(%s::oid::regclass, %s)"
SET_HISTORY = "select pgpipe_internal.set_history(%s::oid::regclass, %s, %s, %s::interval)"
REVEAL = "select pgpipe_internal.reveal_jobs(%s::oid::regclass)"
RECORD_FILES = "select pgpipe_internal.record_files(%s, %s)"
REJECT_ROWS = "select pgpipe_internal.reject_rows(%s, %s::jsonb)"
REJECTED_AT_ONCE = 500
END_LOAD = """
    update pgpipe.load
       set finished_at = clock_timestamp(), read = %s, inserted = %s, updated = %s, deleted = %s, unchanged = %s,
           rejected = %s, left_out = %s, superseded = %s, deletes = %s
     where load_id = %s
"""

Progress = Callable[[int], None]  # takes the number of rows sent since the last call
Prepare = Callable[[Connection, Target], None]  # declares the search of a table that is being made


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
    warnings: tuple[str, ...] = ()  # of checks that do not stop it
    superseded: int = 0  # of those read, by a later change of the same key
    deletes: int = 0  # of those read, that say that a row is gone
    kept: int = 0  # rows that were to be deleted, kept by a trigger, rule or policy of the target


@dataclass(frozen=True)
class Run:
    """A load that is under way, over up to `jobs` connections."""

    database: Database
    source: Source
    jobs: int
    conn: Connection
    plan: Plan
    load_id: int
    prepare: Prepare
    progress: Progress
    rejects: "Rejects"
    patience: Patience

    @property
    def entity(self) -> str:
        """The name of the target."""
        return self.plan.files.entity

    def tell(self, line: str) -> None:
        """Say something to a waiting user."""
        self.patience.tell(line)

    @property
    def target(self) -> Target:
        """The table that the plan found."""
        assert self.plan.target is not None
        return self.plan.target


@contextmanager
def blamed(entity: str) -> Iterator[None]:
    """Whatever fails within is of this entity."""
    try:
        with translated():
            yield
    except PgpipeError as exc:
        exc.entity = exc.entity or entity
        raise


@dataclass(frozen=True)
class Lesson:
    """What an attempt knows of the rows before it reads them: nothing, or what the attempt before it learnt."""

    columns: tuple[Column, ...]  # with how their values are checked
    known: "Known" = field(default_factory=dict)  # rows that the server refuses


def as_json(columns: Sequence[Column]) -> Jsonb:
    """Columns as the SQL functions take them."""
    return Jsonb([{"name": c.name, "type": c.sql, "untyped": c.untyped} for c in columns])


def create_staging(
    conn: Connection, run: Run, columns: Sequence[Column], *, unlogged: bool, name: str | None = None
) -> Target:
    """Make the staging table, in place of an older one: logged if it will be published, else unlogged.

    It is that of the entity, unless another name is given.
    """
    names = {"schema": run.database.schema, "entity": name or run.entity}
    values = {"columns": as_json(columns), "key": list(run.plan.key), "unlogged": unlogged}
    made = conn.execute(CREATE_STAGING, names | values).fetchone()
    assert made is not None
    oid, name = made
    return Target(oid, STAGING, name)


def evolve(conn: Connection, run: Run, add: Sequence[Column]) -> None:
    """Give the target its new columns and types, in the transaction that brings its first rows: it fails with them.

    If its shape changes, also by columns that are not in `add`, the table is locked from then on.

    Raises:
        DataError: the table was dropped or replaced since the plan was made; to be planned again.
        DatabaseError: somebody held the table for too long.
    """
    target, evolution = run.target, run.plan.evolution
    add = (*add, *run.plan.soft_delete.added)

    def change() -> None:
        _require_planned(conn, target)
        conn.execute(EVOLVE, (target.oid, as_json(add), as_json(evolution.widen)))

    if evolution.add or evolution.widen or run.plan.soft_delete.added:
        briefly(conn, target.held, run.patience, change)
    _require_planned(conn, target)


def _require_planned(conn: Connection, target: Target) -> None:
    if at(conn, *target.pair) != target:
        error = DataError(f"the table {target.qualified} was dropped or replaced during the load")
        error.transient = True
        raise error


def set_versions(run: Run, target: int) -> None:
    """Switch soft deletes and the history of the target on or off, in the transaction that writes its rows."""
    plan = run.plan
    run.conn.execute(SET_SOFT_DELETE, (target, plan.soft_delete.wanted))
    run.conn.execute(SET_HISTORY, (target, list(plan.key), plan.history.wanted, plan.history.keep))


def reveal(run: Run) -> None:
    """Let workers see the jobs of a distributed target's rows, which are hidden until the rows are committed."""
    if run.plan.distributed_by and run.plan.target:
        with translated():
            run.conn.execute(REVEAL, (run.plan.target.oid,))


def inserted(rows: int, rejects: "Rejects") -> Counts:
    """The counts of a load whose rows were all inserted."""
    return Counts(read=rows + rejects.count, inserted=rows, rejected=rejects.count, mended=rejects.mended)


def record(run: Run, counts: Counts) -> None:
    """Write down the files, the rejected rows and the counts, in the transaction that brings the rows."""
    plan = run.plan
    rows = {part.file.uri: sum(part.rows) for part in plan.parts}
    entries = [
        entry(file, rows.get(file.uri), run.rejects)
        for file in plan.files.files
        if file.uri in rows or plan.mode == "snapshot"
    ]
    enter(run.conn, run, entries)
    done: tuple[int, ...] = (counts.read, counts.inserted, counts.updated, counts.deleted, counts.unchanged)
    done += (counts.rejected, counts.left_out, counts.superseded, counts.deletes)
    run.conn.execute(END_LOAD, (*done, run.load_id))


def enter(conn: Connection, run: Run, entries: list[dict[str, Any]]) -> None:
    """The ledger's entries, and with them the rejected rows of these files."""
    conn.execute(RECORD_FILES, (run.load_id, Jsonb(entries)))
    rows = [row for each in entries for row in run.rejects.of(each["file"])]
    for first in range(0, len(rows), REJECTED_AT_ONCE):
        some = rows[first : first + REJECTED_AT_ONCE]
        conn.execute(REJECT_ROWS, (run.load_id, storable(conn, f"[{','.join(row.as_json() for row in some)}]")))


def entry(file: File, rows: int | None, rejects: "Rejects") -> dict[str, Any]:
    """A file for the ledger; without a number of rows it was not read, but recognised."""
    identity = {"file": file.uri, "etag": file.identity, "bytes": file.bytes}
    return identity | {"read": rows or 0, "rejected": len(rejects.of(file.uri)), "recognised": rows is None}
