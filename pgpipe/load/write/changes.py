"""Change files: the staged rows are reduced to the last change of each key, before anything looks at them."""

from typing import Any

from psycopg.types.json import Jsonb

from pgpipe.db import one
from pgpipe.load.plan.changes import as_json, condition, numbered
from pgpipe.load.write.run import Run

HAS_DELETES = "select pgpipe_internal.has_deletes(%s::oid::regclass, %s)"
REDUCE = "select pgpipe_internal.reduce_changes(%s::oid::regclass, %s::oid::regclass, %s, %s)"


def changes_json(run: Run) -> Jsonb:
    """What the database must know of change files; nothing, if these are none."""
    plan, known = run.plan, dict[str, Any]()
    if plan.changes:
        known = as_json(plan.changes, numbered(plan.parts), plan.files.date, plan.columns)
        known |= {"schema": run.database.schema, "entity": run.entity}
    return Jsonb(known)


def reduce(run: Run, staging: int, target: int | None) -> int:
    """Leave the last change of each key in the staging table, within a transaction. Returns how many rows went.

    Raises:
        DataError: a key is NULL, or occurs twice and no order is known; or the condition of deletes fails.
    """
    if run.plan.changes is None:
        return 0
    return int(one(run.conn, REDUCE, (target, staging, list(run.plan.key), changes_json(run))))


def has_deletes(run: Run, staging: int) -> bool:
    """Whether a staged change says that its row is gone."""
    assert run.plan.changes
    return bool(one(run.conn, HAS_DELETES, (staging, condition(run.plan.changes, run.plan.columns))))
