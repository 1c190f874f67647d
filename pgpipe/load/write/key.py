"""A key that is configured later: it takes the place of the generated one before rows are merged by it."""

from collections.abc import Iterator
from contextlib import suppress

from pgpipe.db import briefly, translated
from pgpipe.errors import DataError, PgpipeError
from pgpipe.load.write.run import Run
from pgpipe.log import get_logger

log = get_logger(__name__)

STATEMENTS = "select pgpipe_internal.key_index_statements(%s::oid::regclass, %s)"
ADOPT = "select pgpipe_internal.adopt_key(%s::oid::regclass, %s)"
LOCK_TIMEOUT = "select set_config('lock_timeout', %s, false)"


def adopt_key(run: Run) -> None:
    """Make the configured key the primary key, in transactions of its own: others read and write meanwhile.

    If it cannot be had now, the load goes on without it, and the next one tries again.

    Raises:
        DataError: two rows have one key.
    """
    if not run.plan.adopts_key:
        return
    conn, target, key = run.conn, run.target, list(run.plan.key)
    try:
        with translated():
            conn.execute(LOCK_TIMEOUT, (f"{run.patience.seconds:g}s",))
            for statement in _statements(run):
                conn.execute(statement.encode())
        briefly(conn, target.held, run.patience, lambda: conn.execute(ADOPT, (target.oid, key)))
    except PgpipeError as exc:
        with suppress(PgpipeError), translated():  # what a build leaves would refuse rows all the same
            for statement in _statements(run):
                if statement.startswith("drop "):
                    conn.execute(statement.encode())
        if isinstance(exc, DataError) or exc.transient:
            raise
        run.tell(f"{run.entity}: pgpipe_row stays the primary key until the next load: {exc}")
        log.warning("key not adopted", entity=run.entity, error=str(exc))
    finally:
        with suppress(PgpipeError), translated():
            conn.execute(LOCK_TIMEOUT, ("0",))


def _statements(run: Run) -> Iterator[str]:
    found = run.conn.execute(STATEMENTS, (run.target.oid, list(run.plan.key))).fetchall()
    return (statement for (statement,) in found)
