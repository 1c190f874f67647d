"""Sweeps of an embedder: rows whose text changed while no trigger saw it are found without anybody asking.

A changed definition (DDL, a restore) is swept for as soon as it is seen, all else when the last sweep is old and there
is nothing else to do. Between two ranges of rows the queue is served and a stop is heard.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from pgpipe import errors
from pgpipe.db import Connection
from pgpipe.embed.backoff import Backoff
from pgpipe.embed.queue import Embedding, note_trouble
from pgpipe.embed.step import step
from pgpipe.log import get_logger

RANGE = 1000  # rows that are compared at once
LOOK = 2.0  # seconds between looks for an embedding that is due
ANY = 0  # in place of an embedding's number: the look itself is in back-off
DUE = "select embedding_id, changed from pgpipe_internal.due_sweeps(make_interval(secs => %s), %s)"
SWEEPING = "sweeping rows"
NEXT = "select enqueued, finished from pgpipe_internal.reconcile_rows(%s, %s, %s)"
log = get_logger(__name__)


class Sweeper:
    """The sweeps of one worker; their place is in the database, so that another one can go on."""

    def __init__(self, every: float, worker: str) -> None:
        self._every, self._worker = every, worker
        self._due: list[Embedding] = []
        self._looked = -LOOK
        self._backoff = Backoff()
        self._lock = threading.Lock()

    def step(self, conn: Connection, wanted: Callable[[], dict[int, Embedding]], *, changed_only: bool) -> bool:
        """Compare one range of rows, if an embedding is due; returns whether one was.

        Args:
            conn: that commits each statement.
            wanted: the embeddings that this worker serves, by id; asked only when it looks for one that is due.
            changed_only: sweep only for a changed definition, because there is other work.

        Raises:
            Unreachable: the database went away.
        """
        if not self._lock.acquire(blocking=False):  # another lane is at it
            return False
        try:
            return self._step(conn, wanted, changed_only=changed_only)
        finally:
            self._lock.release()

    def _step(self, conn: Connection, wanted: Callable[[], dict[int, Embedding]], *, changed_only: bool) -> bool:
        if not self._due and time.monotonic() - self._looked >= LOOK:
            self._look(conn, wanted, changed_only=changed_only)
        if not self._due:
            return False
        if self._sweep(conn, self._due[0]):
            del self._due[0]
        return True

    def _look(self, conn: Connection, wanted: Callable[[], dict[int, Embedding]], *, changed_only: bool) -> None:
        self._looked = time.monotonic()
        if self._backoff.left(ANY):
            return
        mine = wanted()
        try:
            with step(SWEEPING):
                due = conn.execute(DUE, (self._every, self._worker)).fetchall()
        except errors.PgpipeError as exc:
            if conn.closed:
                raise
            log.warning("sweeps are in back-off", error=str(exc), seconds=self._backoff.begin(ANY))
            return
        self._backoff.end(ANY)
        self._due = [
            mine[embedding]
            for embedding, changed in due
            if (changed or not changed_only) and embedding in mine and not self._backoff.left(embedding)
        ]

    def _sweep(self, conn: Connection, embedding: Embedding) -> bool:
        """One range; whether it was the last, or the embedding is in trouble."""
        number = embedding.embedding_id
        try:
            with step(SWEEPING):
                enqueued, finished = conn.execute(NEXT, (number, RANGE, self._worker)).fetchone() or (0, True)
        except errors.PgpipeError as exc:
            seconds = self._backoff.begin(number)
            if conn.closed:
                raise
            log.warning("sweep is in back-off", entity=embedding.entity, error=str(exc), seconds=seconds)
            with suppress(errors.PgpipeError), step(SWEEPING):
                note_trouble(conn, embedding, "sweep", self._worker, str(exc))
            return True
        if enqueued:
            log.info("sweep found rows", entity=embedding.entity, name=embedding.name, rows=enqueued)
        if finished:
            self._backoff.end(number)
        return bool(finished)
