"""A target without key: rows are copied straight into it, some whole files a transaction with their ledger entries.

If the rows of a date must be looked at together, they are staged first, and committed in one transaction.
"""

import threading
from collections.abc import Callable
from dataclasses import replace

from psycopg import sql

from pgpipe import errors
from pgpipe.db import Connection, one, translated
from pgpipe.load.plan.parts import Part
from pgpipe.load.rows import read
from pgpipe.load.write import copy
from pgpipe.load.write.diagnose import Diagnosis
from pgpipe.load.write.gates import check_staged
from pgpipe.load.write.run import DROP_STAGING, Counts, Lesson, Run, enter, entry, evolve, inserted, record, reveal
from pgpipe.load.write.stage import Staged, stage

ADD_ROWS = """
    update pgpipe.load
       set read = read + %(read)s, inserted = inserted + %(inserted)s, rejected = rejected + %(rejected)s,
           left_out = left_out + %(read)s - %(rejected)s - %(inserted)s,
           finished_at = case when read + %(read)s = %(all)s then clock_timestamp() else finished_at end
     where load_id = %(load_id)s  -- the last transaction also ends the load: a kill after it finds nothing to do
"""
APPEND = "select pgpipe_internal.append_staged(%s::oid::regclass, %s::oid::regclass, %s)"
COMMIT_BYTES = 32 << 20  # uncompressed: what is committed at once, if it is more than one file
COMMIT_FILES = 1000


def append(run: Run, diagnosis: Diagnosis) -> Counts:
    """Commit all files; those of a load that fails stay, if they were committed before."""
    stop = threading.Event()

    def commit(conn: Connection, parts: list[Part], *, new_shape: bool = False) -> int:
        return diagnosis.twice(conn, parts, lambda lesson: _commit(run, conn, parts, lesson, stop, new_shape=new_shape))

    def commit_all(conn: Connection) -> int:
        return sum(_each_or_all(lambda some: commit(conn, some), parts) for parts in left)

    waiting = commits(run.plan.parts)
    rows = 0
    if run.plan.evolution.add or run.plan.evolution.widen:  # alone: the table is locked while its shape changes
        rows += commit(run.conn, waiting.pop(0), new_shape=True)
    left = copy.drained(waiting)
    jobs = min(run.jobs, len(waiting))
    if jobs > 1:
        rows += sum(copy.on_connections(run, jobs, commit_all, stop))
    else:
        rows += commit_all(run.conn)
    return _counted(run, rows)


def append_at_once(run: Run, lesson: Lesson) -> Counts:
    """Append all files within a transaction of the load's own connection."""
    rows = _commit(run, run.conn, list(run.plan.parts), lesson, threading.Event(), new_shape=True)
    return _counted(run, rows)


def append_date(run: Run, lesson: Lesson) -> Counts:
    """Stage all files, and commit them together once they pass the gates."""
    staged = stage(run, lesson)
    with translated(), run.conn.transaction():
        counts = append_staged(run, staged)
        record(run, counts)
        run.conn.execute(DROP_STAGING, (staged.table.oid,))
    reveal(run)
    return counts


def append_staged(run: Run, staged: Staged) -> Counts:
    """Bring staged rows into the target, within a transaction."""
    evolve(run.conn, run, run.plan.evolution.add)
    target, names = run.target.oid, [column.name for column in run.plan.columns]
    warnings = check_staged(run, staged.table.oid, staged.rows, target)
    rows = one(run.conn, APPEND, (target, staged.table.oid, names))
    done = inserted(rows, run.rejects)
    return replace(done, read=staged.rows + run.rejects.count, left_out=staged.rows - rows, warnings=warnings)


def _counted(run: Run, rows: int) -> Counts:
    done = inserted(rows, run.rejects)
    return replace(done, read=run.plan.rows, left_out=run.plan.rows - run.rejects.count - rows)


def _commit(
    run: Run, conn: Connection, parts: list[Part], lesson: Lesson, stop: threading.Event, *, new_shape: bool
) -> int:
    """Some files in one transaction. With `new_shape` the target changes in it."""
    rejects = run.rejects
    copier = copy.Copier(run.source, sql.Identifier(*run.target.pair), lesson, run.progress, stop, rejects)
    with translated(), conn.transaction():
        if new_shape:
            evolve(conn, run, run.plan.evolution.add)
        rows = copier.copy(conn, read.row_groups(parts))
        enter(conn, run, [entry(part.file, sum(part.rows), rejects) for part in parts])
        read_ = sum(sum(part.rows) for part in parts)
        rejected = sum(len(rejects.of(part.file.uri)) for part in parts)
        done = {"read": read_, "inserted": rows, "rejected": rejected, "all": run.plan.rows}
        conn.execute(ADD_ROWS, done | {"load_id": run.load_id})
    return rows


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
