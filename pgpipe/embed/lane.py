"""A lane: claims a batch, encodes it while it holds the models, and finishes it. No transaction is open meanwhile.

A worker has two. While one holds the models, the other one finishes its batch and claims the next.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from pgpipe import errors
from pgpipe.db import Connection, Database
from pgpipe.embed import queue
from pgpipe.embed.backoff import Backoff
from pgpipe.embed.encode import Encoded, encode, must_read, unread
from pgpipe.embed.finish import FINISHING, finish
from pgpipe.embed.halt import CANCEL, CUT, END, Halt, Stopped
from pgpipe.embed.link import Link, linked
from pgpipe.embed.model.cache import Models
from pgpipe.embed.owed import RELEASING, Owed
from pgpipe.embed.queue import Embedding, Finished, Lease
from pgpipe.embed.step import judged
from pgpipe.embed.sweep import SWEEPING, Sweeper
from pgpipe.embed.totals import Report
from pgpipe.embed.trouble import Policy
from pgpipe.embed.turns import Lookout, Turns
from pgpipe.embed.words import COUNTING, Words
from pgpipe.log import get_logger
from pgpipe.mask import trace

CLAIMING = "claiming jobs"
EXTEND = 1 / 3  # of the lease: after so long it is extended
log = get_logger(__name__)


@dataclass(frozen=True)
class Shared:
    """What all lanes of a worker have in common."""

    database: Database
    name: str  # of the worker
    batch: int
    lease: timedelta
    models: Models
    backoff: Backoff
    turns: Turns
    owed: Owed
    sweeper: Sweeper
    words: Words
    report: Report


class Lane:
    """One of the lanes of a worker."""

    def __init__(self, shared: Shared, policy: Policy, lookout: Lookout, halt: Halt) -> None:
        self._shared, self._policy, self._lookout, self._halt = shared, policy, lookout, halt
        self._link: Link | None = None
        self._lease: Lease | None = None  # that is being worked on
        self._extended = 0.0

    @property
    def held(self) -> list[Lease]:
        """What it has claimed and neither finished nor given back."""
        return [lease] if (lease := self._lease) else []

    def run(self) -> None:
        """Work until the policy has nothing more to do, or until a halt.

        Raises:
            PgpipeError: what the policy does not bear with.
        """
        try:
            linked(self._shared.database, self._work, self._policy.lost)
        except Stopped:
            pass
        except (errors.Unreachable, errors.DatabaseError, errors.InternalError) as exc:
            if not self._halt:
                raise
            log.debug("a call of the database was ended", error=str(exc))  # see `watch`

    def watch(self, halted: float) -> None:
        """End a call of the database that lasts too long; for the thread that watches over the lanes.

        Args:
            halted: seconds since the halt, 0 before it.
        """
        if (link := self._link) is None:
            return
        lasted, lease = link.lasted(), self._shared.lease.total_seconds()
        if lasted > lease:  # its batch is somebody else's by now; a peer that is half dead answers the kernel, not us
            log.warning("the database does not answer: connection cut", seconds=lease)
            link.cut()
        elif min(lasted, halted) > CUT:
            link.cut()
        elif min(lasted, halted) > CANCEL:
            link.cancel()

    def _work(self, link: Link) -> None:
        self._link = link
        with self._lookout:
            while not self._halt and not self._lookout.over:
                if not self._batch() and not self._lookout.sleep() and not self._idle():
                    self._lookout.end()

    def _call(self, doing: str) -> AbstractContextManager[Connection]:
        assert self._link is not None
        return self._link.call(doing)

    def _note(self, embedding: Embedding, taken: bytes) -> bytes | None:
        with self._call("comparing models") as conn:
            return queue.fingerprint(conn, embedding, taken)

    def _idle(self) -> bool:
        """No lane has anything to do; returns whether there may be something later."""
        if self._sweep(changed_only=not self._policy.endless):
            return True
        if self._policy.endless:
            with self._call(COUNTING) as conn:
                self._shared.words.refresh(conn)
            self._shared.report.beat()  # there was nothing to do: that is well, too
        if pause := self._policy.idle():
            self._halt.wait(pause)
            return True
        if not self._shared.owed or not self._policy.waits_for_writers():
            return False
        with self._call(RELEASING) as conn:
            locked = self._shared.owed.give_back(conn)
        if locked:
            self._halt.wait(0.1)
        return True

    def _sweep(self, *, changed_only: bool) -> bool:
        """Compare a range of rows with their vectors, if an embedding is due; returns whether one was."""
        self._halt.check()
        with self._call(SWEEPING) as conn:
            swept = self._shared.sweeper.step(
                conn,
                lambda: {e.embedding_id: e for e in queue.embeddings(conn) if self._policy.wants(e)},
                changed_only=changed_only,
            )
        self._shared.report.beat()
        return swept

    def _batch(self) -> bool:
        """Claim, encode, finish; returns whether there was anything to claim."""
        self._lease = self._claim()
        if self._lease is None:
            return False
        self._lookout.found()
        try:
            if batch := self._encoded(self._lease):
                self._finish(batch)
        finally:
            self._give_back()
        self._sweep(changed_only=True)
        return True

    def _claim(self) -> Lease | None:
        """The next batch of the embeddings that are wanted, which take turns. None if nothing is ready."""
        shared = self._shared
        self._lookout.look()
        with self._call("looking for work") as conn:
            shared.owed.give_back(conn)
            wanted = [e for e in queue.embeddings(conn) if self._policy.wants(e)]
            if self._policy.endless:  # it looks often; a drain calls each claim, which says what may not be served
                ready = queue.ready(conn)
                wanted = [e for e in wanted if e.embedding_id in ready]
        while wanted:
            self._halt.check()
            embedding = shared.turns.take(wanted)
            wanted.remove(embedding)
            self._extended = time.monotonic()
            with self._bearing(embedding, CLAIMING):
                with self._call(CLAIMING) as conn:
                    lease = queue.claim(conn, embedding, shared.batch, shared.name, shared.lease)
                if lease.jobs:
                    shared.report.beat()
                    return lease
                self._policy.empty(embedding)
        return None

    @contextmanager
    def _bearing(self, embedding: Embedding, doing: str) -> Iterator[None]:
        """What goes wrong in here concerns this embedding, and no other one.

        Args:
            embedding: that is served.
            doing: what for, as a message says it.

        Raises:
            Stopped: a halt ended it.
            Unreachable: the database was lost.
        """
        try:
            yield
        except END:
            raise
        except BaseException as exc:  # noqa: BLE001 - a model may raise anything, and the others must be served
            self._halt.check()
            log.debug("trouble", entity=embedding.entity, trace=trace(exc))
            self._bear(embedding, judged(exc, doing))

    def _bear(self, embedding: Embedding, error: errors.PgpipeError) -> None:
        """Leave the embedding alone, and keep why; the database is asked whether it is still there.

        Raises:
            Unreachable: the database was lost.
        """
        assert self._link is not None
        if isinstance(error, errors.Unreachable) or self._link.lost:
            self._link.renew()
        try:
            with self._call("looking for embeddings") as conn:
                if embedding.embedding_id not in {e.embedding_id for e in queue.embeddings(conn, paused=True)}:
                    return  # it was dropped
        except errors.InternalError as exc:
            log.debug("embeddings cannot be looked for", error=str(exc))
        self._policy.met(embedding, error)
        with suppress(errors.PgpipeError), self._call("noting trouble") as conn:
            if isinstance(error, errors.Transient) and self._lease:
                self._postpone(conn, self._lease, error)
            if type(error) is not errors.ModelRefused:  # other machines may run it
                queue.note_trouble(conn, embedding, "serve", self._shared.name, str(error))

    def _encoded(self, lease: Lease) -> Encoded | None:
        """The batch with vectors; None if it is to be given back."""
        if not any(map(must_read, lease.jobs)):
            return unread(lease)
        models, embedding = self._shared.models, lease.embedding
        batch: Encoded | None = None
        encoding = f"encoding texts for the model {embedding.model!r}"
        with self._bearing(embedding, encoding), models.held(self._waiting):
            if self._policy.wants(embedding):  # else another lane met trouble with it meanwhile
                self._halt.check()
                models.identify(embedding, self._note)
                batch = encode(lease, models.encoder(embedding), self._between)
        return batch

    def _postpone(self, conn: Connection, lease: Lease, exc: errors.Transient) -> None:
        """Other workers wait for the service, too; a second less, so that this one finds jobs when it claims again."""
        wait = max(self._shared.backoff.left(lease.embedding.embedding_id) - 1, 0.0)
        unread = [job for job in lease.jobs if must_read(job)]
        queue.fail(conn, lease, unread, str(exc), charge=False, retry_after=wait)

    def _between(self, share: float) -> None:
        """Before each call of the model, with the share of the batch's texts that it has read."""
        self._shared.report.beat()
        if self._lease:
            self._shared.report.read(self._lease, share)
        self._waiting()

    def _waiting(self) -> None:
        """Extend the lease until there is a halt. It does not beat, because a model that hangs makes no progress."""
        self._halt.check()
        if time.monotonic() - self._extended <= self._shared.lease.total_seconds() * EXTEND:
            return
        self._extended = time.monotonic()
        # The embedding was dropped, or the connection is lost: the finish makes another one.
        with suppress(errors.PgpipeError), self._call("extending leases") as conn:
            for lease in self.held:
                queue.extend(conn, lease, self._shared.lease)

    def _finish(self, batch: Encoded) -> None:
        """Write the vectors and acknowledge the jobs; give those that failed back with their error."""
        lease = batch.lease
        with self._bearing(lease.embedding, FINISHING):
            batch, finished = self._finished(batch)
            self._lease = None
            if finished.locked:
                self._shared.owed.add([Lease(lease.embedding, lease.token, finished.locked)])
            self._policy.served(lease.embedding)
        if self._lease is None:
            self._shared.report.finished(batch, finished)

    def _finished(self, batch: Encoded) -> tuple[Encoded, Finished]:
        """What was encoded for long, and perhaps paid for, is not lost with a connection that was idle meanwhile."""
        try:
            with self._call(FINISHING) as conn:
                return finish(conn, batch, self._shared.name)
        except errors.Unreachable:
            self._halt.check()
            if self._link:
                self._link.renew()
        with self._call(FINISHING) as conn:
            return finish(conn, batch, self._shared.name)

    def _give_back(self) -> None:
        """What was claimed and not finished: at once, or if the connection is lost with the next one."""
        if not self.held:
            return
        for lease in self.held:
            self._shared.report.read(lease, 0)
        self._shared.owed.add(self.held)
        self._lease = None
        with suppress(errors.PgpipeError), self._call(RELEASING) as conn:
            self._shared.owed.give_back(conn)
