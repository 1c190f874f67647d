"""The worker: claim, encode, finish, over all embeddings in turn.

While the model encodes one batch, the database thread finishes the one before and claims the one after; no transaction
is open meanwhile.
"""

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np

from pgpipe import errors
from pgpipe.db import Database
from pgpipe.embed import index, queue
from pgpipe.embed.backoff import Rests
from pgpipe.embed.batch import Failure, split
from pgpipe.embed.model.base import Model, Vectors, load_model
from pgpipe.embed.model.cache import Models, Stopped
from pgpipe.embed.queue import Chunk, Embedding, Finished, Job, Lease
from pgpipe.embed.session import Session
from pgpipe.embed.sweep import Sweeper
from pgpipe.log import get_logger
from pgpipe.settings.model import EmbeddingSettings
from pgpipe.target import Target

POLL = 2.0  # seconds between looks at an empty queue, give or take half
RETRY = 30.0  # at most, between tries to reach the database
EXTEND = 1 / 3  # of the lease: after so long it is extended
PATIENCE = 5  # times that a drain waits for a backend that cannot answer
LOCKED = 10.0  # seconds that a drain waits for writers that hold jobs
log = get_logger(__name__)

Progress = Callable[[Target, int], None]  # table, jobs finished since the last call
Trouble = Callable[[Embedding, errors.PgpipeError], None]


@dataclass
class Totals:
    """What a worker did, in jobs."""

    embedded: dict[tuple[str, str], int] = field(
        default_factory=dict
    )  # by schema and table: vectors computed and stored
    fresh: int = 0  # the stored vectors were of this text already
    reused: int = 0  # another row of the store, or of the batch, had the vectors of this text
    stale: int = 0  # had passed to another worker, nothing written
    failed: int = 0


@dataclass
class _Work:
    """A batch between the model and the database."""

    lease: Lease
    good: list[Job]
    chunks: list[Chunk]  # their job's number is that in `good`
    vectors: Vectors
    failures: list[tuple[Failure, list[Job]]]
    read: int = 0  # jobs whose text the model read
    result: Future[Finished] | None = None


class Worker:
    """One worker with one connection. The model of an embedding is loaded at its first job, once for all embeddings."""

    def __init__(
        self,
        database: Database,
        settings: EmbeddingSettings,
        progress: Progress = lambda _e, _n: None,
        load: Callable[[EmbeddingSettings], Model] = load_model,
    ) -> None:
        self._database = database
        self._settings = settings
        self.progress = progress
        # Hooks: something got done (a claim, a call of the model, a look); a batch was finished, and what it took.
        self.beat: Callable[[], None] = lambda: None
        self.timed: Callable[[Target, float], None] = lambda _target, _seconds: None
        self._models = Models(settings, load)
        self._refused: dict[int, errors.PgpipeError] = {}  # embeddings that this worker leaves alone
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._lease = timedelta(seconds=settings.lease)
        self._owed: list[Lease] = []
        self._rests = Rests()
        self._sweeper = Sweeper(settings.reconcile_every, self._name)
        self._extended = 0.0  # when the leases at hand were last extended
        self._troubles = 0
        self.stop = threading.Event()
        self.totals = Totals()

    def halt(self) -> None:
        """Stop as soon as may be; for the handler of a signal, in the thread that works.

        Raises:
            Stopped: into the midst of loading a model.
        """
        self.stop.set()
        self._models.abort()

    def drain(self, targets: Sequence[Target] | None = None) -> Totals:
        """Work until nothing is left that can be claimed, then build missing vector indexes.

        Raises:
            VectorsMissing: the database has no pgvector.
            ModelError: a model cannot be loaded, or fails on any text.
            ModelRefused: this machine may not run a model, or vectors are of one with other weights; the other
                embeddings were worked off before.
            RowsHidden: row level security hides rows from this role; likewise.
            Transient: the model's backend could not answer, several times over.
            Unreachable: the database went away.
        """
        with self._session() as session:

            def wanted(embedding: Embedding) -> bool:
                return (targets is None or embedding.target in targets) and embedding.embedding_id not in self._refused

            until = time.monotonic() + LOCKED
            while (
                self._work_off(session, wanted, self._raise)
                or self._swept(session, wanted, changed_only=True)
                or self._locked(session, until)
            ):
                pass
            for embedding in [] if self.stop.is_set() else filter(wanted, queue.embeddings(session.conn)):
                index.build(self._database, embedding, self._settings.index, self.stop)
        for refused in self._refused.values():
            raise refused
        return self.totals

    def run(self, ready: Callable[[], None] = lambda: None) -> Totals:
        """Work until `stop` is set; an unreachable database is waited for, an embedding in trouble rests.

        Args:
            ready: called once the database answered and every declared model is loaded.

        Raises:
            SchemaMissing, VectorsMissing, ModelError: at the start, where waiting would not help.
            ModelRefused: no embedding is there whose model this machine may run, and whose vectors are of it.
        """
        pause = 1.0
        told = False
        indexer = index.Indexer(self._database, self._settings.index, self.stop)
        while not self.stop.is_set():
            try:
                with self._session() as session:
                    if not told:
                        self._load_all(session)
                        ready()
                        told = True
                        indexer.start()
                    pause = 1.0
                    self._serve(session)
            except Stopped:
                break  # while the models were loaded
            except errors.Unreachable as exc:
                log.warning("database lost", error=str(exc), retry_in=pause)
                self.beat()
                self.stop.wait(pause * random.uniform(0.5, 1))  # noqa: S311 - spread, not secret
                pause = min(pause * 2, RETRY)
        indexer.join()
        return self.totals

    def _load_all(self, session: Session) -> None:
        """Load every model; one that is refused ends the worker only if it has nothing else."""
        refused: list[errors.ModelRefused] = []
        embeddings = queue.embeddings(session.conn)
        for embedding in embeddings:
            try:
                self._models.encoder(embedding)
            except errors.ModelRefused as exc:
                refused.append(exc)
                self._rest(embedding, exc)
                continue
            try:
                self._models.identify(session, embedding)
            except errors.ModelRefused as exc:
                refused.append(exc)
                self._rest(embedding, exc)
            except (errors.EncodeError, errors.ModelError) as exc:
                log.debug("the model does not answer yet", entity=embedding.entity, error=str(exc))
        if self.stop.is_set():
            raise Stopped
        if refused and len(refused) == len(embeddings):
            raise refused[0]

    def _serve(self, session: Session) -> None:
        while not self.stop.is_set():
            if self._work_off(session, self._ready, self._rest):
                continue
            if self._swept(session, self._ready, changed_only=False):
                continue
            queue.refresh_searches(session.conn)
            self.beat()  # there was nothing to do: that is well, too
            self.stop.wait(POLL * random.uniform(0.5, 1.5))  # noqa: S311 - spread, not secret

    def _ready(self, embedding: Embedding) -> bool:
        return embedding.embedding_id not in self._refused and not self._rests.left(embedding.embedding_id)

    def _swept(
        self, session: Session, wanted: Callable[[Embedding], bool], *, changed_only: bool, wait: bool = True
    ) -> bool:
        """Compare a range of rows with their vectors, if an embedding is due; returns whether one was."""

        def step() -> bool:
            mine = {e.embedding_id for e in queue.embeddings(session.conn) if wanted(e)}
            return self._sweeper.step(session.conn, mine.__contains__, changed_only=changed_only)

        future = session.submit(step)
        self.beat()
        return wait and not self.stop.is_set() and session.result(future)

    def _session(self) -> Session:
        return Session(self._database, self._name, self._settings.batch, self._lease, self._owed)

    def _work_off(self, session: Session, wanted: Callable[[Embedding], bool], trouble: Trouble) -> int:
        """Take batches from claim to finish until nothing is ready, or until told to stop; returns how many."""
        batches = 0
        held: list[Lease] = []
        writing: _Work | None = None
        ahead = session.submit(session.claim, wanted, trouble)
        try:
            while (lease := session.result(ahead)) and not self.stop.is_set():
                self.beat()
                held.append(lease)
                ahead = session.submit(session.claim, wanted, trouble)
                work = self._encoded(session, held, ahead, trouble)
                self._written(session, writing, held, trouble)
                writing = work
                if work:
                    work.result = session.submit(
                        session.finish, work.lease, work.good, work.chunks, work.vectors, work.failures
                    )
                batches += 1
                self._swept(session, wanted, changed_only=True, wait=False)
            self._written(session, writing, held, trouble)
        except Stopped:
            self._written(session, writing, held, trouble)
        finally:
            self._give_back(session, held, ahead)
        return batches

    def _encoded(
        self, session: Session, held: list[Lease], ahead: Future[Lease | None], trouble: Trouble
    ) -> _Work | None:
        """The batch claimed last, with vectors; None where its model is in trouble."""
        lease = held[-1]

        def between() -> None:
            self.beat()
            if self.stop.is_set():
                raise Stopped
            if time.monotonic() - self._extended > self._lease.total_seconds() * EXTEND:
                next_ = ahead.result() if ahead.done() and not ahead.exception() else None
                session.submit(session.extend, [*held, *([next_] if next_ else [])])
                self._extended = time.monotonic()

        try:
            if any(_to_read(job) for job in lease.jobs):
                self._models.identify(session, lease.embedding)
            return self._encode(lease, between)
        except errors.Transient as exc:
            if self.stop.is_set():
                raise Stopped from exc
            self._rests.begin(lease.embedding.embedding_id, exc.retry_after)
            trouble(lease.embedding, exc)
            # A drain has waited by now: with the whole pause once more it would find nothing to claim, and end.
            left = self._rests.left(lease.embedding.embedding_id)
            fault = Failure(str(exc), charge=False, retry_after=left)
            todo = [j for j in lease.jobs if _to_read(j)]
            good = [j for j in lease.jobs if not _to_read(j)]
            return _Work(lease, good, [], np.empty((0, lease.embedding.dims), np.float32), [(fault, todo)])
        except errors.ModelError as exc:
            self._rests.begin(lease.embedding.embedding_id)
            trouble(lease.embedding, exc)
            held.remove(lease)
            session.submit(session.release, lease)
            return None

    def _encode(self, lease: Lease, between: Callable[[], None]) -> _Work:
        """Split the texts, encode the pieces, and part the rows that the model took from those that it did not."""
        todo = [n for n, job in enumerate(lease.jobs) if _to_read(job)]
        failures: dict[int, Failure] = {}
        chunks: list[Chunk] = []
        texts: list[str] = []
        vectors = np.empty((0, lease.embedding.dims), np.float32)
        if todo:
            encoder = self._models.encoder(lease.embedding)
            for n in todo:
                content = lease.jobs[n].content or ""
                size, overlap = lease.embedding.chunk_size, lease.embedding.chunk_overlap
                pieces, failure = split(encoder.model, content, size, overlap)
                if failure:
                    failures[n] = failure
                chunks += [Chunk(n, number, start, end) for number, (start, end) in enumerate(pieces)]
                texts += [content[start:end] for start, end in pieces]
            vectors, broken = encoder.encode(texts, between)
            failures |= {chunks[c].job: failure for c, failure in broken.items()}
        good = [n for n in range(len(lease.jobs)) if n not in failures]
        place = {n: i for i, n in enumerate(good)}
        kept = [c for c in range(len(chunks)) if chunks[c].job in place]
        return _Work(
            lease,
            [lease.jobs[n] for n in good],
            [Chunk(place[chunks[c].job], chunks[c].number, chunks[c].start, chunks[c].end) for c in kept],
            vectors[kept],
            [(f, [lease.jobs[n] for n, g in failures.items() if g == f]) for f in dict.fromkeys(failures.values())],
            read=len(todo) - len(failures),
        )

    def _written(self, session: Session, work: _Work | None, held: list[Lease], trouble: Trouble) -> None:
        """Wait until the batch is in the database, and count it."""
        if work is None or work.result is None:
            return
        lease = work.lease
        try:
            finished = session.result(work.result)
        except errors.DatabaseError as exc:
            session.result(session.submit(session.judge, lease.embedding, exc, trouble))
            return
        held.remove(lease)
        work.result = None
        target, totals = lease.embedding.target, self.totals
        lost = finished.stale + len(finished.locked)
        totals.embedded[target.pair] = totals.embedded.get(target.pair, 0) + max(work.read - lost, 0)
        totals.fresh += sum(job.fresh for job in work.good)
        totals.reused += sum(job.twin for job in work.good)
        totals.stale += finished.stale
        totals.failed += sum(len(jobs) for failure, jobs in work.failures if failure.retry_after is None)
        if all(failure.retry_after is None for failure, _ in work.failures):
            self._rests.end(lease.embedding.embedding_id)
        self.beat()
        self.timed(target, time.monotonic() - lease.claimed)
        self.progress(target, len(lease.jobs))

    def _give_back(self, session: Session, held: list[Lease], ahead: Future[Lease | None]) -> None:
        """Whatever was claimed and not finished goes back at once; over a broken connection, with the next one."""
        try:
            last = session.result(ahead)
            self._owed.extend([*held, *([last] if last and last not in held else [])])
            session.result(session.submit(session.give_back))
        except errors.PgpipeError as exc:
            self._owed.extend(lease for lease in held if lease not in self._owed)
            log.debug("leases are given back later", error=str(exc))

    def _locked(self, session: Session, until: float) -> bool:
        """Whether there may be more for a drain to do: jobs that a writer held, or one still holds."""
        if self.stop.is_set() or not self._owed:
            return False
        if session.result(session.submit(session.give_back)):
            self.stop.wait(0.1)
        return time.monotonic() < until

    def _rest(self, embedding: Embedding, exc: errors.PgpipeError) -> None:
        """Trouble in the daemon: the embedding rests, the others go on."""
        if isinstance(exc, errors.ModelRefused) and not isinstance(exc, errors.OtherModel):
            self._refused[embedding.embedding_id] = exc  # as long as this process runs with its configuration
            log.error("embedding is left alone", entity=embedding.entity, name=embedding.name, error=str(exc))
            return
        if not self._rests.left(embedding.embedding_id):
            self._rests.begin(embedding.embedding_id)
        seconds = round(self._rests.seconds(embedding.embedding_id), 1)
        log.error("embedding rests", entity=embedding.entity, name=embedding.name, error=str(exc), seconds=seconds)

    def _raise(self, embedding: Embedding, exc: errors.PgpipeError) -> None:
        """Trouble in a drain: what may pass is waited for a few times, anything else ends it."""
        if isinstance(exc, errors.ModelRefused | errors.RowsHidden):
            self._refused[embedding.embedding_id] = exc
            return
        self._troubles += 1
        if not isinstance(exc, errors.Transient) or self._troubles > PATIENCE:
            raise exc
        seconds = self._rests.seconds(embedding.embedding_id)
        log.warning("the model does not answer", entity=embedding.entity, error=str(exc), retry_in=seconds)
        self.stop.wait(seconds)


def _to_read(job: Job) -> bool:
    """Whether the model must read the job's text."""
    return job.content is not None and not job.fresh and not job.twin
