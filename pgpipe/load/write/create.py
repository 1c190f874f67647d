"""A target that is not there yet: built as a staging table on all connections, indexed, and published by a rename."""

from dataclasses import replace

from pgpipe.db import translated
from pgpipe.load.write import copy
from pgpipe.load.write.gates import check_staged
from pgpipe.load.write.run import Counts, Lesson, Run, create_staging, inserted, record

INDEX_STAGING = "select pgpipe_internal.index_staging(%s::oid::regclass, %s)"
PUBLISH = "select pgpipe_internal.publish(%s::oid::regclass, %s, %s)"
KEEP_LEDGER = "select pgpipe.keep_ledger(%s::oid::regclass, %s)"


def create(run: Run, lesson: Lesson) -> Counts:
    """Build, index and publish it; the ledger's entries come with the rename."""
    conn, schema = run.conn, run.database.schema
    with translated(), conn.transaction():
        staging = create_staging(conn, run, run.plan.columns, unlogged=False)
        run.prepare(conn, staging)
    rows = copy.copy_parallel(run, staging, lesson)
    with translated():
        with conn.transaction():
            warnings = check_staged(run, staging.oid, rows, None)
        conn.execute(INDEX_STAGING, (staging.oid, list(run.plan.key)))
        with conn.transaction():
            conn.execute(PUBLISH, (staging.oid, schema, run.entity))
            conn.execute(KEEP_LEDGER, (staging.oid, run.entity))
            counts = replace(inserted(rows, run.rejects), warnings=warnings)
            record(run, counts)
    return counts
