"""A target that is there, by key: all files are staged, then only the rows that differ are written."""

from psycopg.types.json import Jsonb

from pgpipe.db import one, translated
from pgpipe.db.encoding import storable
from pgpipe.load.write.changes import changes_json, reduce
from pgpipe.load.write.gates import check_staged
from pgpipe.load.write.key import adopt_key
from pgpipe.load.write.rivals import among_rivals
from pgpipe.load.write.run import (
    DROP_STAGING,
    Counts,
    Lesson,
    Run,
    as_json,
    evolve,
    record,
    reveal,
    set_versions,
)
from pgpipe.load.write.stage import Staged, stage

ADD_COLUMNS = """
    select pgpipe_internal.add_columns(%s::oid::regclass, %s::oid::regclass, %s, %s, %s)
"""
MERGE = """
    select inserted, updated, deleted, unchanged, left_out, kept, superseded, deletes
      from pgpipe_internal.merge(%s::oid::regclass, %s::oid::regclass, %s, %s, %s, %s::jsonb, %s, %s, changes => %s)
"""
DELETE = "select deleted, kept from pgpipe_internal.merge_deletions(%s::oid::regclass, %s::oid::regclass, %s)"


def merge(run: Run, lesson: Lesson) -> Counts:
    """Stage all files, then touch only the rows that differ, in one transaction with the ledger."""
    staged = stage(run, lesson)

    def write() -> Counts:
        with translated(), run.conn.transaction():
            counts = merge_staged(run, staged)
            record(run, counts)
            run.conn.execute(DROP_STAGING, (staged.table.oid,))
        reveal(run)
        return counts

    return among_rivals(write, f"the merge of {run.entity}", run.tell)


def merge_staged(run: Run, staged: Staged, *, deletes_later: bool = False) -> Counts:
    """Write the rows that differ, within a transaction. With `deletes_later` those that go stay until delete_rest."""
    conn, plan, target, rejects = run.conn, run.plan, run.target, run.rejects
    key, stage_ = list(plan.key), staged.table.oid
    adopt_key(run)
    evolve(conn, run, plan.evolution.add if plan.changes else ())
    superseded = reduce(run, stage_, target.oid)
    warnings = check_staged(run, stage_, staged.rows, target.oid)
    filled = 0
    if plan.evolution.add and not plan.changes:  # added apart, because a merge can fill them
        filled = one(conn, ADD_COLUMNS, (target.oid, stage_, as_json(plan.evolution.add), key, plan.mode))
    set_versions(run, target.oid)
    names = [c.name for c in plan.columns]
    rejected, limits = storable(conn, rejects.keys), Jsonb(plan.gates.limits())
    values = (target.oid, stage_, names, key, plan.mode, rejected, limits, deletes_later)
    merged = conn.execute(MERGE, (*values, changes_json(run))).fetchone()
    assert merged is not None
    written, updated, deleted, unchanged, left_out, kept, older, deletes = merged
    return Counts(
        read=staged.rows + rejects.count,
        inserted=written,
        updated=updated,
        deleted=deleted or 0,
        unchanged=unchanged,
        rejected=rejects.count,
        left_out=left_out,
        mended=rejects.mended,
        filled=filled,
        warnings=warnings,
        superseded=superseded + older,
        deletes=deletes,
        kept=kept or 0,
    )


def delete_rest(run: Run, staged: Staged) -> tuple[int, int]:
    """Delete what merge_staged left for later. Returns how many rows went, and how many the target kept."""
    done = run.conn.execute(DELETE, (run.target.oid, staged.table.oid, list(run.plan.key))).fetchone()
    assert done is not None
    deleted, kept = done
    return deleted, kept
