"""A worker's hand in the database: one connection, and the one thread that uses it, so that the model never waits."""

import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import psycopg
from pgvector.psycopg.vector import register_vector_info
from psycopg import sql
from psycopg.types import TypeInfo

from pgpipe import errors
from pgpipe.db import Connection, Database, translated
from pgpipe.embed import queue
from pgpipe.embed.batch import Failure
from pgpipe.embed.model.base import Vectors
from pgpipe.embed.queue import Chunk, Embedding, Finished, Job, Lease
from pgpipe.log import get_logger

P = ParamSpec("P")
T = TypeVar("T")
log = get_logger(__name__)


class Session:
    """Calls of the queue, in the order in which they were asked for; each may be waited for or not.

    `owed` are leases that could not be given back yet, because a writer had a job locked or the connection broke. It
    outlives the session: the next one gives them back.
    """

    def __init__(self, database: Database, name: str, batch: int, lease: timedelta, owed: list[Lease]) -> None:
        self._name, self._batch, self._lease, self._owed = name, batch, lease, owed
        self.conn = database.connect(autocommit=True)
        try:
            register_vector_info(self.conn, _vector_type(self.conn))
        except BaseException:
            self.conn.close()
            raise
        self._thread = ThreadPoolExecutor(1, "database")
        self._served: dict[int, int] = {}  # embedding: at which claim it last had its turn
        self._claims = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)
        self.conn.close()

    def submit(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Let the database thread do it, after what it was asked for before."""
        return self._thread.submit(call, *args, **kwargs)

    def result(self, future: Future[T]) -> T:
        """Wait for a call; one that outlasts the lease is of no use any more, and its connection is cut.

        Raises:
            Unreachable: it was cut, or broke by itself. A peer that is half dead answers the kernel, but not us.
        """
        try:
            return future.result(self._lease.total_seconds())
        except TimeoutError:
            self._cut()
            return future.result()

    def _cut(self) -> None:
        log.warning("the database does not answer: connection cut", seconds=self._lease.total_seconds())
        with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self.conn.fileno())) as twin:
            twin.shutdown(socket.SHUT_RDWR)

    def claim(
        self, wanted: Callable[[Embedding], bool], trouble: Callable[[Embedding, errors.PgpipeError], None]
    ) -> Lease | None:
        """The next batch of the wanted embeddings, which take turns. None where nothing is ready.

        `trouble` hears of an embedding that cannot be claimed from, because its tables are not what was declared.
        """
        self.give_back()
        known = [e for e in queue.embeddings(self.conn) if wanted(e)]
        for embedding in sorted(known, key=lambda e: self._served.get(e.embedding_id, 0)):
            try:
                lease = queue.claim(self.conn, embedding, self._batch, self._name, self._lease)
            except errors.DatabaseError as exc:
                self.judge(embedding, exc, trouble)
                continue
            if lease.jobs:
                self._claims += 1
                self._served[embedding.embedding_id] = self._claims
                return lease
        return None

    def judge(
        self,
        embedding: Embedding,
        exc: errors.PgpipeError,
        trouble: Callable[[Embedding, errors.PgpipeError], None],
    ) -> None:
        """An embedding that was dropped is not a fault; anything else is."""
        if embedding.embedding_id in {e.embedding_id for e in queue.embeddings(self.conn, paused=True)}:
            trouble(embedding, exc)

    def extend(self, leases: Sequence[Lease]) -> None:
        """Hold on to them for another lease."""
        for lease in leases:
            queue.extend(self.conn, lease, self._lease)

    def finish(
        self,
        lease: Lease,
        jobs: list[Job],
        chunks: Sequence[Chunk],
        vectors: Vectors,
        failures: Sequence[tuple[Failure, list[Job]]],
    ) -> Finished:
        """Write the vectors and acknowledge these jobs of the lease; give the others back with their error.

        What a writer has locked is given back as soon as it is free. A deadlock with somebody who changes rows of the
        store himself is lost, and tried again.
        """
        for failure, failed in failures:
            retry = failure.retry_after
            queue.fail(self.conn, lease, failed, failure.reason, charge=failure.charge, retry_after=retry)
            keys = [job.key for job in failed[:10]]
            log.warning("jobs failed", entity=lease.embedding.entity, jobs=len(failed), keys=keys, error=failure.reason)
        part = Lease(lease.embedding, lease.token, jobs)
        for attempt in range(3):
            try:
                finished = queue.finish(self.conn, part, self._name, chunks, vectors)
                break
            except errors.Conflict:
                if attempt == 2:  # noqa: PLR2004 - the third is the last
                    raise
        if finished.locked:
            self._owed.append(Lease(lease.embedding, lease.token, finished.locked))
        return finished

    def release(self, lease: Lease) -> None:
        """Give the lease back, now or as soon as it can be."""
        self._owed.append(lease)
        self.give_back()

    def give_back(self) -> int:
        """Try to give back what is owed; returns how many jobs a writer still holds."""
        locked = 0
        for lease in list(self._owed):
            try:
                still = queue.release(self.conn, lease)
            except errors.DatabaseError:  # the embedding was dropped
                still = 0
            locked += still
            if not still:
                self._owed.remove(lease)
        return locked


def _vector_type(conn: Connection) -> TypeInfo | None:
    """The type, looked up by its full name: the extension may lie in a schema that is not on the search_path."""
    with translated():
        row = conn.execute("select pgpipe_internal.vector_schema()").fetchone()
        if row is None or row[0] is None:
            raise errors.VectorsMissing(
                "vectors need the extension pgvector, which this database lacks: install it"
                " (Debian: postgresql-NN-pgvector), run `create extension vector`, then `pgpipe migrate`"
            )
        return TypeInfo.fetch(conn, sql.Identifier(row[0], "vector"))
