"""The vector index of a store: built while work goes on, once the backlog is gone, because it makes inserts slower.

It is built again where its declared precision changed, or where it was measured to have decayed (pgpipe/embed/care.py).
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import psycopg

from pgpipe import errors
from pgpipe.db import Connection, Database, translated
from pgpipe.embed import care, queue
from pgpipe.embed.backoff import Backoff
from pgpipe.embed.halt import END
from pgpipe.embed.queue import Embedding
from pgpipe.embed.step import step
from pgpipe.log import get_logger
from pgpipe.mask import said
from pgpipe.settings.model import IndexSettings

BUILDING = "building a vector index"
MEASURING = "measuring a vector index"
LOOK = 15.0  # seconds between looks for an index that is due
WATCH = (0.02, 1.0)  # seconds between looks at a build: at first, because a small one is done soon, and at most
# A lock of the transaction, not of the session: it holds through PgBouncer as well, and goes with the connection.
TRY_LOCK = "select pg_try_advisory_xact_lock(hashtext('pgpipe index'), %s)"
# One rebuild at a time, of all indexes: each takes memory, and disk for a second index.
TRY_REBUILD = "select pg_try_advisory_xact_lock(hashtext('pgpipe index rebuild'), 0)"
DUE = """
    select v.rows, v.memory, v.statement, v.step, pgpipe_internal.index_memory(v.rows, e.dims, 'bit'),
           pg_has_role(c.relowner, 'usage')
      from pgpipe_internal.vector_index(%(id)s, %(min_rows)s, %(max_wait)s, %(max_dead)s, %(max_loss)s) v
      join pgpipe.embedding e on e.embedding_id = %(id)s join pg_catalog.pg_class c on c.oid = e.store
     where v.statement <> ''
"""
DROP_INVALID = "select pgpipe_internal.drop_invalid_index(%s)"
PROGRESS = "select phase, percent::float from pgpipe.index_progress where embedding_id = %s limit 1"
GIVEN = "select pg_size_bytes(current_setting('maintenance_work_mem')) >> 20"
RAISE = "select set_config('maintenance_work_mem', %s, false)"
log = get_logger(__name__)

Progress = Callable[[str, float | None], None]  # phase, percent of it


def build(
    database: Database,
    embedding: Embedding,
    settings: IndexSettings,
    stop: threading.Event | None = None,
    progress: Progress = lambda _phase, _percent: None,
) -> bool:
    """Build the index of a store where one is due. Writers and searches go on meanwhile.

    Args:
        database: three connections are made: one builds, one holds the lock, one looks on.
        embedding: whose store.
        settings: which index, and when it is due.
        stop: a build is broken off once this is set, and what it had made is dropped.
        progress: called often at first, then once a second.

    Returns:
        Whether an index was built; not where none is due, or somebody else is at it.

    Raises:
        Unreachable: the database went away.
        DatabaseError: the build failed; nothing of it is left.
    """
    with database.connect() as holder, database.connect(autocommit=True) as builder, translated():
        if holder.execute(TRY_LOCK, (embedding.embedding_id,)).fetchone() != (True,):
            return False
        found = due(builder, embedding, settings)
        if found and found.step == "rebuild" and holder.execute(TRY_REBUILD).fetchone() != (True,):
            return False
        # This lets go of the snapshot, for which the build would wait: the transaction that has the lock does no more.
        holder.execute("set local idle_in_transaction_session_timeout = 0")
        if found is None or builder.execute(DROP_INVALID, (embedding.embedding_id,)).fetchone() != (True,):
            return False
        _raise_memory(builder, embedding, found, settings.memory_mb)
        log.info(
            "vector index due", entity=embedding.entity, embedding=embedding.name, step=found.step, rows=found.rows
        )
        try:
            with database.connect(autocommit=True) as watch:
                stop = stop or threading.Event()
                _run(watch, builder, embedding, found.statement, stop, progress)
                old = due(builder, embedding, settings)
                if old and old.step == "drop":  # of another precision, which served until now
                    _run(watch, builder, embedding, old.statement, stop, progress)
        except psycopg.errors.QueryCanceled:
            if stop is None or not stop.is_set():
                raise  # by somebody else
            log.info("vector index broken off", entity=embedding.entity)
            return False
        finally:
            if not builder.closed:
                builder.execute("reset maintenance_work_mem")
                builder.execute(DROP_INVALID, (embedding.embedding_id,))
        log.info("vector index built", entity=embedding.entity, embedding=embedding.name)
    return True


@dataclass(frozen=True)
class Due:
    """What the index of a store needs next."""

    rows: int
    memory: int  # bytes that a build works in
    statement: str
    step: str  # build, rebuild, or drop: of one that another has replaced
    memory_of_bits: int  # that the index would need if it held a bit of each dimension


def due(conn: Connection, embedding: Embedding, settings: IndexSettings) -> Due | None:
    """What is to be done for the index of a store; None where nothing is, or not from us."""
    if settings.kind == "none":
        return None
    rebuilds = settings.open_now()
    asked = {
        "id": embedding.embedding_id,
        "min_rows": settings.min_rows,
        "max_wait": timedelta(seconds=settings.max_wait),
        "max_dead": settings.max_dead if rebuilds else None,
        "max_loss": settings.max_loss if rebuilds else None,
    }
    with translated():
        row = conn.execute(DUE, asked).fetchone()
    if row is None:
        return None
    *parts, bits, owned = row
    if not owned:  # only who owns a table may index it: the next load does
        _tell_once(embedding)
        return None
    rows, memory, statement, step = parts
    return Due(rows or 0, memory or 0, statement, step, bits or 0)


@cache
def _tell_once(embedding: Embedding) -> None:
    log.warning("the vector index waits for the next load: this role does not own the store", entity=embedding.entity)


def _raise_memory(builder: Connection, embedding: Embedding, found: Due, limit: int) -> None:
    """Give the build the memory that it needs. With less it would leave memory and take many times as long.

    Raises:
        DatabaseError: it needs more than `limit` MB and than the server gives by itself.
    """
    row = builder.execute(GIVEN).fetchone()
    given = row[0] if row else 0
    needed, bits = (found.memory >> 20) + 1, (found.memory_of_bits >> 20) + 1
    if needed > max(given, limit):
        smaller = f'; with index = {{ precision = "bit" }} for the entity it needs {bits:,} MB' if bits < needed else ""
        raise errors.DatabaseError(
            f"{embedding.entity}: the vector index of {found.rows:,} vectors needs {needed:,} MB of"
            f" maintenance_work_mem and may have {max(given, limit):,} MB; set embedding.index.memory_mb = {needed} if"
            f" the server has as much{smaller}"
        )
    if needed > given:
        builder.execute(RAISE, (f"{needed}MB",))


def _run(
    watch: Connection,
    builder: Connection,
    embedding: Embedding,
    statement: str,
    stop: threading.Event,
    progress: Progress,
) -> None:
    """Run the statement on one connection and look on from the other."""
    with ThreadPoolExecutor(1, "index") as thread:
        built = thread.submit(psycopg.Cursor(builder).execute, statement.encode())  # allows no transaction around it
        try:
            _watch(watch, built, embedding, stop, progress)
        finally:  # stopped, or the look failed: without it nobody would hear a stop
            if not built.done():
                builder.cancel_safe()
        built.result()


def _watch(
    watch: Connection, built: Future[Any], embedding: Embedding, stop: threading.Event, progress: Progress
) -> None:
    """Look on until the index is built, or until a stop."""
    pause, longest = WATCH
    while not built.done() and not stop.wait(pause):
        pause = min(pause * 2, longest)
        phase = None
        with suppress(psycopg.Error):  # a look that fails ends no build of hours
            phase = watch.execute(PROGRESS, (embedding.embedding_id,)).fetchone()
        if phase:
            progress(*phase)
            log.debug("building vector index", entity=embedding.entity, phase=phase[0], percent=phase[1])


class Indexer:
    """Builds the indexes that are due: those of a list, or in a thread all of them until `stop` is set."""

    def __init__(self, database: Database, settings: IndexSettings, stop: threading.Event, worker: str) -> None:
        self._database, self._settings = database, settings
        self._stop, self._worker = stop, worker
        self._backoff, self._unmeasured = Backoff(), Backoff()
        self._thread = threading.Thread(target=self._loop, name="indexer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, seconds: float | None = None) -> bool:
        """Wait for its end: a build in hand is broken off. Returns whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                with self._database.connect(autocommit=True) as conn:
                    known = queue.embeddings(conn)
                self.build(known)
                self._measure(known)
            except END:
                raise
            except errors.Unreachable as exc:
                log.info("no look for vector indexes", error=str(exc))  # the worker says more
            except BaseException as exc:  # noqa: BLE001 - this thread goes on as the lanes do
                log.warning("no look for vector indexes", error=said(exc))
            self._stop.wait(LOOK)

    def build(self, embeddings: Sequence[Embedding]) -> dict[int, errors.PgpipeError]:
        """Build the index of each of these, if it is due; returns the errors of those that could not be built.

        Raises:
            Unreachable: the database went away.
        """
        failed: dict[int, errors.PgpipeError] = {}
        for embedding in embeddings:
            if self._stop.is_set():
                break
            if self._backoff.left(embedding.embedding_id):
                continue
            try:
                with step(BUILDING):
                    self._build(embedding)
            except errors.Unreachable:
                raise
            except errors.PgpipeError as exc:
                failed[embedding.embedding_id] = exc
                seconds = self._backoff.begin(embedding.embedding_id)
                log.warning("vector index not built", entity=embedding.entity, error=str(exc), retry_in=seconds)
                self._note(embedding, str(exc))
        return failed

    def _build(self, embedding: Embedding) -> None:
        with self._database.connect(autocommit=True) as conn:
            lacking = due(conn, embedding, self._settings) is not None
        if lacking and build(self._database, embedding, self._settings, self._stop):
            self._backoff.end(embedding.embedding_id)
            self._note(embedding, None)

    def _measure(self, embeddings: Sequence[Embedding]) -> None:
        """Measure those that are due. One that cannot be measured is tried again later; the others are measured."""
        for embedding in embeddings:
            if self._stop.is_set() or self._unmeasured.left(embedding.embedding_id):
                continue
            try:
                with step(MEASURING):
                    care.measure(self._database, embedding, self._settings)
            except errors.Unreachable:
                raise
            except errors.PgpipeError as exc:
                seconds = self._unmeasured.begin(embedding.embedding_id)
                log.warning("vector index not measured", entity=embedding.entity, error=str(exc), retry_in=seconds)
            else:
                self._unmeasured.end(embedding.embedding_id)

    def _note(self, embedding: Embedding, error: str | None) -> None:
        with suppress(errors.PgpipeError), step(BUILDING), self._database.connect(autocommit=True) as conn:
            queue.note_trouble(conn, embedding, "index", self._worker, error)
