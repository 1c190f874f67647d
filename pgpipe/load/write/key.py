"""A key that is configured later: it takes the place of the generated one in the transaction that merges by it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from pgpipe.db import briefly, translated
from pgpipe.errors import PgpipeError
from pgpipe.load.write.run import Run, blamed
from pgpipe.log import get_logger

log = get_logger(__name__)

STATEMENTS = "select pgpipe_internal.key_index_statements(%s::oid::regclass, %s)"
ADOPT = "select pgpipe_internal.adopt_key(%s::oid::regclass, %s)"
LOCK_TIMEOUT = "select set_config('lock_timeout', %s, false)"


@contextmanager
def key_indexes(runs: Sequence[Run]) -> Iterator[None]:
    """The indexes of keys that are to be adopted are there within; those that were not adopted go.

    Others read and write while they are built. A load whose index cannot be had goes on without it.

    Raises:
        DataError: two rows have one key.
    """
    adopting = [run for run in runs if run.plan.adopts_key]
    try:
        for run in adopting:
            with blamed(run.entity):
                _build(run)
        yield
    finally:
        for run in adopting:
            with suppress(PgpipeError), translated():  # a unique index would refuse rows of other writers
                for statement in _statements(run):
                    if statement.startswith("drop "):
                        run.conn.execute(statement.encode())


def adopt_key(run: Run) -> None:
    """Make the configured key the primary key, in the transaction of the merge: if that fails, nothing is changed."""
    if not run.plan.adopts_key:
        return
    conn, target, key = run.conn, run.target, list(run.plan.key)
    try:
        briefly(conn, target.held, run.patience, lambda: conn.execute(ADOPT, (target.oid, key)))
    except PgpipeError as exc:
        if exc.transient:
            raise
        _stays(run, exc)


def _build(run: Run) -> None:
    try:
        with translated():
            run.conn.execute(LOCK_TIMEOUT, (f"{run.patience.seconds:g}s",))
            for statement in _statements(run):
                run.conn.execute(statement.encode())
    except PgpipeError as exc:
        if exc.transient or (exc.sqlstate or "").startswith("23"):
            raise
        _stays(run, exc)  # such as a value too long for an index
    finally:
        with suppress(PgpipeError), translated():
            run.conn.execute(LOCK_TIMEOUT, ("0",))


def _stays(run: Run, exc: PgpipeError) -> None:
    run.tell(f"{run.entity}: pgpipe_row stays the primary key until the next load: {exc}")
    log.warning("key not adopted", entity=run.entity, error=str(exc))


def _statements(run: Run) -> list[str]:
    found = run.conn.execute(STATEMENTS, (run.target.oid, list(run.plan.key))).fetchall()
    return [statement for (statement,) in found]
