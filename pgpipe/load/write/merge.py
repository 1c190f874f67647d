"""A target that is there, by key: all files are staged, then only the rows that differ are written."""

from pgpipe.db import one, translated
from pgpipe.db.encoding import storable
from pgpipe.load.write import copy
from pgpipe.load.write.rivals import among_rivals
from pgpipe.load.write.run import (
    DROP_STAGING,
    Counts,
    Lesson,
    Run,
    as_json,
    create_staging,
    evolve,
    record,
)
from pgpipe.target import Target

ADD_COLUMNS = """
    select pgpipe_internal.add_columns(%s::oid::regclass, %s::oid::regclass, %s, %s, %s)
"""
MERGE = """
    select inserted, updated, deleted, unchanged, left_out, kept
      from pgpipe_internal.merge(%s::oid::regclass, %s::oid::regclass, %s, %s, %s, %s::jsonb, %s, %s)
"""


def merge(run: Run, lesson: Lesson) -> Counts:
    """Stage all files, then touch only the rows that differ, in one transaction with the ledger."""
    with translated():
        staging = create_staging(run.conn, run, run.plan.columns, unlogged=True)
    rows = copy.copy_parallel(run, staging, lesson)

    def write() -> Counts:
        with translated(), run.conn.transaction():
            counts = _merge(run, staging, rows)
            record(run, counts)
            run.conn.execute(DROP_STAGING, (staging.oid,))
        return counts

    return among_rivals(write, f"the merge of {run.entity}", run.patience.tell)


def _merge(run: Run, staging: Target, rows: int) -> Counts:
    conn, plan, target, rejects = run.conn, run.plan, run.target, run.rejects
    key = list(plan.key)
    evolve(conn, run, ())
    filled = 0
    if plan.evolution.add:  # added apart, because a merge can fill them
        filled = one(conn, ADD_COLUMNS, (target.oid, staging.oid, as_json(plan.evolution.add), key, plan.mode))
    names = [c.name for c in plan.columns]
    limit, rejected = plan.max_deleted, storable(conn, rejects.keys)
    values = (target.oid, staging.oid, names, key, plan.mode, rejected, limit.rows, limit.share)
    merged = conn.execute(MERGE, values).fetchone()
    assert merged is not None
    written, updated, deleted, unchanged, left_out, kept = merged
    return Counts(
        read=rows + rejects.count,
        inserted=written,
        updated=updated,
        deleted=deleted,
        unchanged=unchanged,
        rejected=rejects.count,
        left_out=left_out,
        mended=rejects.mended,
        filled=filled,
        kept=kept,
    )
