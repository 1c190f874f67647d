"""The end of a batch: its vectors are written and its jobs acknowledged; rows that the database refuses are charged."""

from contextlib import suppress

from pgpipe import errors
from pgpipe.db import Connection
from pgpipe.embed import queue
from pgpipe.embed.batch import Failure
from pgpipe.embed.encode import Encoded
from pgpipe.embed.queue import Finished, Job, Lease
from pgpipe.embed.step import step
from pgpipe.embed.trouble import of_rows
from pgpipe.log import get_logger

FINISHING = "finishing jobs"
TRIES = 3  # of a finish that meets a deadlock
log = get_logger(__name__)


def finish(conn: Connection, batch: Encoded, worker: str) -> tuple[Encoded, Finished]:
    """Write the vectors and acknowledge the jobs; give those that failed back with their error.

    Returns:
        The batch, with the rows that the database refused among its failures, and what became of the others.

    Raises:
        PgpipeError: the database refuses the batch whatever its rows are; or it was lost.
    """
    _fail(conn, batch.lease, batch.failures)
    try:
        return batch, _written(conn, batch, worker)
    except errors.PgpipeError as exc:
        if conn.closed or not of_rows(exc):
            raise
        with step(FINISHING):
            queue.finish_nothing(conn, batch.lease, worker)  # what fails without a row is not of one
        refused: dict[str, Failure] = {}
        finished = _halved(conn, batch, worker, exc, refused)
    after = batch.without(refused)
    _fail(conn, batch.lease, after.failures[len(batch.failures) :])
    return after, finished


def _fail(conn: Connection, lease: Lease, failures: list[tuple[Failure, list[Job]]]) -> None:
    for failure, failed in failures:
        reason, wait = failure.reason, failure.retry_after
        queue.fail(conn, lease, failed, reason, charge=failure.charge, retry_after=wait)
        keys = [job.key for job in failed[:10]]
        log.warning("jobs failed", entity=lease.embedding.entity, jobs=len(failed), keys=keys, error=reason)


def _halved(
    conn: Connection, batch: Encoded, worker: str, exc: errors.PgpipeError, refused: dict[str, Failure]
) -> Finished:
    """Finish a batch that was refused by halves, until those rows stand alone that are to blame."""
    jobs = len(batch.good)
    if jobs == 1:
        charge = not isinstance(exc.__cause__, MemoryError)
        refused[batch.good[0].key] = Failure(f"its vectors cannot be stored: {exc}", charge=charge)
        return Finished(0, 0, [])
    done = []
    for half in (batch.part(0, jobs // 2), batch.part(jobs // 2, jobs)):
        try:
            done.append(_written(conn, half, worker))
        except errors.PgpipeError as cause:
            if conn.closed or not of_rows(cause):
                raise
            done.append(_halved(conn, half, worker, cause, refused))
    first, second = done
    return Finished(first.jobs + second.jobs, first.stale + second.stale, first.locked + second.locked)


def _written(conn: Connection, batch: Encoded, worker: str) -> Finished:
    """A deadlock with somebody who changes rows of the store himself is lost, and tried again."""
    lease = Lease(batch.lease.embedding, batch.lease.token, batch.good)
    for _ in range(TRIES - 1):
        with suppress(errors.Conflict), step(FINISHING):
            return queue.finish(conn, lease, worker, batch.chunks, batch.vectors)
    with step(FINISHING):
        return queue.finish(conn, lease, worker, batch.chunks, batch.vectors)
