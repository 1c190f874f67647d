"""A target that is not there yet: built as a staging table on all connections, indexed, and published by a rename."""

from dataclasses import replace

import psycopg

from pgpipe.db import translated
from pgpipe.load.write import copy
from pgpipe.load.write.changes import changes_json, has_deletes, reduce
from pgpipe.load.write.gates import check_staged
from pgpipe.load.write.run import (
    DROP_STAGING,
    KEEP_LEDGER,
    Counts,
    Lesson,
    Run,
    create_staging,
    inserted,
    record,
    set_versions,
)
from pgpipe.load.write.stage import stage
from pgpipe.target import Target

INDEX_STAGING = "select pgpipe_internal.index_staging(%s::oid::regclass, %s)"
DISTRIBUTE = "select pgpipe_internal.after_create(%s::oid::regclass, %s)"
PUBLISH = "select pgpipe_internal.publish(%s::oid::regclass, %s, %s)"
NO_KEY = "PP010"  # SQLSTATE of a key that is NULL or occurs twice
FILL = "select inserted, deletes from pgpipe_internal.fill_changes(%s::oid::regclass, %s::oid::regclass, %s)"
KEEP_VERSIONS = "select pgpipe_internal.keep_versions(%s::oid::regclass, null, %s, null, true)"
KEEP_TOMBSTONES = "select pgpipe_internal.keep_tombstones(%s::oid::regclass, %s, %s)"


def create(run: Run, lesson: Lesson) -> Counts:
    """Build, index and publish it; the ledger's entries come with the rename."""
    conn, schema = run.conn, run.database.schema
    with translated(), conn.transaction():
        staging = create_staging(conn, run, run.plan.columns, unlogged=False)
        run.prepare(conn, staging)
        if run.plan.distributed_by:
            conn.execute(DISTRIBUTE, (staging.oid, run.plan.distributed_by))
    rows = copy.copy_parallel(run, staging, lesson)
    with translated():
        if run.plan.changes and not _indexed_at_once(run, staging):
            return _create_of_changes(run, lesson)
        with conn.transaction():
            warnings = check_staged(run, staging.oid, rows, None)
        if not run.plan.changes:
            conn.execute(INDEX_STAGING, (staging.oid, list(run.plan.key)))
        with conn.transaction():
            conn.execute(PUBLISH, (staging.oid, schema, run.entity))
            conn.execute(KEEP_LEDGER, (staging.oid, run.entity))
            _begin_history(run, staging.oid)
            counts = replace(inserted(rows, run.rejects), warnings=warnings)
            record(run, counts)
    return counts


def _indexed_at_once(run: Run, staging: Target) -> bool:
    """Whether change files are rows of a first load like any other: no delete, and no key twice, as its index shows."""
    if has_deletes(run, staging.oid):
        return False
    try:
        run.conn.execute(INDEX_STAGING, (staging.oid, list(run.plan.key)))
    except psycopg.Error as exc:
        if exc.sqlstate != NO_KEY:
            raise
        return False
    return True


def _create_of_changes(run: Run, lesson: Lesson) -> Counts:
    """Make it from change files, whose rows are staged once more, each with its place: the last of each key counts."""
    conn, plan, key, rejects = run.conn, run.plan, list(run.plan.key), run.rejects
    staged = stage(run, lesson)
    with translated(), conn.transaction():
        superseded = reduce(run, staged.table.oid, None)
        warnings = check_staged(run, staged.table.oid, staged.rows, None)
        # No entity has a slash in its name.
        made = create_staging(conn, run, plan.columns, unlogged=False, name=f"{run.entity}/target")
        run.prepare(conn, made)
        filled = conn.execute(FILL, (made.oid, staged.table.oid, [c.name for c in plan.columns])).fetchone()
        assert filled is not None
        conn.execute(INDEX_STAGING, (made.oid, key))
        conn.execute(PUBLISH, (made.oid, run.database.schema, run.entity))
        conn.execute(KEEP_LEDGER, (made.oid, run.entity))
        _begin_history(run, made.oid)
        conn.execute(KEEP_TOMBSTONES, (staged.table.oid, key, changes_json(run)))
        counts = replace(inserted(filled[0], rejects), superseded=superseded, deletes=filled[1], warnings=warnings)
        counts = replace(counts, read=staged.rows + rejects.count)
        record(run, counts)
        conn.execute(DROP_STAGING, (staged.table.oid,))
    return counts


def _begin_history(run: Run, target: int) -> None:
    set_versions(run, target)
    run.conn.execute(KEEP_VERSIONS, (target, list(run.plan.key)))
