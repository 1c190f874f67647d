"""What a load would change: its rows are staged and compared in one transaction, which is rolled back."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from psycopg import sql
from psycopg.types.json import Jsonb

from pgpipe.db import PATIENCE, Connection, Database, one, translated
from pgpipe.db.encoding import storable
from pgpipe.errors import DataError
from pgpipe.load.plan.gates import require_rows
from pgpipe.load.plan.outline import DONE, Plan
from pgpipe.load.rows.read import row_groups
from pgpipe.load.rows.rejects import Rejects
from pgpipe.load.write import copy
from pgpipe.load.write.changes import changes_json, reduce
from pgpipe.load.write.diagnose import Diagnosis
from pgpipe.load.write.gates import find_breaches
from pgpipe.load.write.run import Lesson, Progress, Run, as_json, create_staging
from pgpipe.load.write.stage import layout
from pgpipe.source import Source

CHECK_KEY = "select pgpipe_internal.check_key(%s::oid::regclass, %s)"
EVOLVED = "select pgpipe_internal.as_evolved(%s::oid::regclass, %s::oid::regclass, %s, %s)::oid::bigint"
PREVIEW = """
    select inserted, updated, deleted, unchanged, broken
      from pgpipe_internal.preview_merge(%s::oid::regclass, %s::oid::regclass, %s::oid::regclass, %s, %s, %s,
                                         %s::jsonb, %s, %s, %s)
"""
SAMPLE = """
    select key_values, old_values, new_values
      from pgpipe_internal.sample_difference(%s::oid::regclass, %s::oid::regclass, %s, %s, %s, %s)
"""
LEFT = "select pgpipe_internal.count_left(%s::oid::regclass)"
CHANGES = ("insert", "update", "delete")


@dataclass(frozen=True)
class Gate:
    """A gate that the load would not pass, or a check that would warn."""

    name: str
    message: str
    level: str = "error"


@dataclass(frozen=True)
class Sample:
    """A row that would change."""

    change: str
    key: dict[str, str]
    old: dict[str, str | None]
    new: dict[str, str | None]


@dataclass(frozen=True)
class Preview:
    """What a load would do, in rows."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    rejected: int = 0
    gates: list[Gate] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)


def preview(
    database: Database, source: Source, plan: Plan, progress: Callable[[Plan], Progress], max_samples: int = 0
) -> Preview:
    """Stage the files of a plan, and compare them with the target. Nothing of it is left.

    Args:
        database: of the target.
        source: of the files.
        plan: what a load would do.
        progress: called with the plan; returns what is called with the rows sent.
        max_samples: of each kind of change.

    Raises:
        PgpipeError: as a load would; a gate that is not met raises nothing.
    """
    if plan.action in DONE:
        return Preview()
    with database.connect(autocommit=True) as conn:
        rejects = Rejects(plan.key, plan.max_rejected)
        run = Run(database, source, 1, conn, plan, 0, lambda *_: None, progress(plan), rejects, PATIENCE)
        return Diagnosis(run).twice(conn, plan.parts, lambda lesson: _rolled_back(run, lesson, max_samples))


def _rolled_back(run: Run, lesson: Lesson, max_samples: int) -> Preview:
    conn = run.conn
    with translated(), conn.transaction(force_rollback=True):
        # A name of its own: the staging table of a load that is running is left alone.
        columns, traced = layout(run.plan)
        staging = create_staging(conn, run, columns, unlogged=True, name=f"diff {conn.info.backend_pid}")
        table = sql.Identifier(*staging.pair)
        copier = copy.Copier(run.source, table, lesson, run.progress, threading.Event(), run.rejects, traced)
        rows = copier.copy(conn, row_groups(run.plan.parts))
        compared = _Comparison(run, staging.oid, rows)
        return compared.merged(max_samples) if run.plan.action == "merge" else compared.inserted()


class _Comparison:
    """Staged rows next to their target, within the transaction."""

    def __init__(self, run: Run, staging: int, rows: int) -> None:
        self._run, self._staging, self._rows = run, staging, rows
        self._key = list(run.plan.key)

    def inserted(self) -> Preview:
        """All are new: those of a first load, or of an append."""
        plan, conn, rows = self._run.plan, self._run.conn, self._rows
        if plan.changes:
            reduce(self._run, self._staging, None)
            rows = int(one(conn, LEFT, (self._staging,)))
        elif plan.action == "create" and self._key:
            conn.execute(CHECK_KEY, (self._staging, self._key))
        seen = self._seen(conn) if plan.target else None
        return Preview(rows, rejected=self._run.rejects.count, gates=self._gates(seen))

    def merged(self, max_samples: int) -> Preview:
        """Some are there."""
        plan, conn = self._run.plan, self._run.conn
        seen, new = self._seen(conn), {column.name for column in plan.evolution.add} - set(self._key)
        names = [column.name for column in plan.columns if column.name not in new]
        reduce(self._run, self._staging, seen)
        gates = self._gates(seen)
        rejected, limits = storable(conn, self._run.rejects.keys), Jsonb(plan.gates.limits())
        values = (self._run.target.oid, seen, self._staging, names, self._key, plan.mode, rejected, limits)
        marks = plan.soft_delete.column if plan.soft_delete.stored else None
        counted = conn.execute(PREVIEW, (*values, changes_json(self._run), marks)).fetchone()
        assert counted is not None
        *counts, broken = counted
        gates += [Gate(*each) for each in broken]
        samples = [
            # Of a row that comes or goes, one side is empty.
            Sample(change, key, {} if change == "insert" else old or {}, {} if change == "delete" else new or {})
            for change in (CHANGES if max_samples else ())
            for key, old, new in conn.execute(SAMPLE, (seen, self._staging, names, self._key, change, max_samples))
        ]
        inserted, updated, deleted, unchanged = counts
        return Preview(inserted, updated, deleted, unchanged, self._run.rejects.count, gates, samples)

    def _seen(self, conn: Connection) -> int:
        plan = self._run.plan
        compared = {*plan.key, *(plan.changes.order if plan.changes else ())}
        keys = [column for column in plan.evolution.add if column.name in compared]
        values = (self._run.target.oid, self._staging, as_json(plan.evolution.widen), as_json(keys))
        return int(one(conn, EVOLVED, values))

    def _gates(self, seen: int | None) -> list[Gate]:
        run = self._run
        found = []
        try:
            require_rows(run.entity, run.plan.files.date, self._rows + run.plan.before, run.plan.gates)
        except DataError as exc:
            found.append(Gate("min_rows", str(exc).removeprefix(f"{run.entity}: ")))
        breaches = find_breaches(run, self._staging, seen)
        return found + [Gate("checks", breach.message, breach.check.level) for breach in breaches]
