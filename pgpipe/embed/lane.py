"""A lane: claims a batch, encodes it while it holds the models, and finishes it. No transaction is open meanwhile.

A worker has two. While one holds the models, the other one finishes its batch and claims the next.
"""

import random
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import timedelta

from pgpipe import errors
from pgpipe.db import Connection, Database
from pgpipe.embed import queue
from pgpipe.embed.backoff import Backoff
from pgpipe.embed.batch import Failure
from pgpipe.embed.encode import Encoded, encode, must_read, unread
from pgpipe.embed.halt import Halt, Stopped
from pgpipe.embed.link import Link, linked
from pgpipe.embed.model.cache import Models
from pgpipe.embed.owed import Owed
from pgpipe.embed.queue import Embedding, Finished, Lease
from pgpipe.embed.sweep import Sweeper
from pgpipe.embed.totals import Report
from pgpipe.embed.trouble import Policy
from pgpipe.embed.turns import Lookout, Turns
from pgpipe.log import get_logger

POLL = 2.0  # seconds between looks at an empty queue, give or take half
EXTEND = 1 / 3  # of the lease: after so long it is extended
TRIES = 3  # of a finish that meets a deadlock
CANCEL, CUT = 0.75, 1.25  # seconds of a call after a halt, until the server is asked to end it, and until it is cut
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
        except (errors.Unreachable, errors.DatabaseError) as exc:
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

    def _call(self, *, impatient: bool = False) -> AbstractContextManager[Connection]:
        assert self._link is not None
        return self._link.impatient() if impatient else self._link.call()

    def _note(self, embedding: Embedding, taken: bytes) -> bytes | None:
        with self._call() as conn:
            return queue.fingerprint(conn, embedding, taken)

    def _idle(self) -> bool:
        """No lane has anything to do; returns whether there may be something later."""
        if self._sweep(changed_only=not self._policy.endless):
            return True
        if self._policy.endless:
            with self._call() as conn:
                queue.refresh_searches(conn)
            self._shared.report.beat()  # there was nothing to do: that is well, too
            self._halt.wait(POLL * random.uniform(0.5, 1.5))  # noqa: S311 - spread, not secret
            return True
        if not self._shared.owed or not self._policy.waits_for_writers():
            return False
        with self._call() as conn:
            locked = self._shared.owed.give_back(conn)
        if locked:
            self._halt.wait(0.1)
        return True

    def _sweep(self, *, changed_only: bool) -> bool:
        """Compare a range of rows with their vectors, if an embedding is due; returns whether one was."""
        self._halt.check()
        with self._call() as conn:
            swept = self._shared.sweeper.step(
                conn,
                lambda: {e.embedding_id for e in queue.embeddings(conn) if self._policy.wants(e)},
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
        with suppress(errors.DatabaseError):  # a lane that has nothing else to do meets it, too
            self._sweep(changed_only=True)
        return True

    def _claim(self) -> Lease | None:
        """The next batch of the embeddings that are wanted, which take turns. None if nothing is ready."""
        shared = self._shared
        self._lookout.look()
        with self._call() as conn:
            shared.owed.give_back(conn)
            wanted = [e for e in queue.embeddings(conn) if self._policy.wants(e)]
        while wanted:
            self._halt.check()
            embedding = shared.turns.take(wanted)
            wanted.remove(embedding)
            self._extended = time.monotonic()
            try:
                with self._call(impatient=self._policy.endless) as conn:
                    lease = queue.claim(conn, embedding, shared.batch, shared.name, shared.lease)
            except errors.DatabaseError as exc:  # its tables are not what was declared
                self._met(embedding, exc)
                continue
            if lease.jobs:
                shared.report.beat()
                return lease
        return None

    def _encoded(self, lease: Lease) -> Encoded | None:
        """The batch with vectors; None if it is to be given back."""
        if not any(map(must_read, lease.jobs)):
            return unread(lease)
        models = self._shared.models
        with models.held(self._waiting):
            if not self._policy.wants(lease.embedding):  # another lane met trouble with it meanwhile
                return None
            try:
                self._halt.check()
                models.identify(lease.embedding, self._note)
                return encode(lease, models.encoder(lease.embedding), self._between)
            except errors.Transient as exc:
                self._halt.check()  # after a stop it does not answer
                self._pause(self._policy.met(lease.embedding, exc))
                # A drain has waited by now: with the whole pause once more it would find nothing to claim, and end.
                left = self._shared.backoff.left(lease.embedding.embedding_id)
                return unread(lease, Failure(str(exc), charge=False, retry_after=left))
            except errors.ModelError as exc:
                self._pause(self._policy.met(lease.embedding, exc))
                return None

    def _between(self) -> None:
        """Before each call of the model."""
        self._shared.report.beat()
        self._waiting()

    def _waiting(self) -> None:
        """Extend the lease until there is a halt. It does not beat, because a model that hangs makes no progress."""
        self._halt.check()
        if time.monotonic() - self._extended <= self._shared.lease.total_seconds() * EXTEND:
            return
        self._extended = time.monotonic()
        with suppress(errors.DatabaseError), self._call() as conn:  # the embedding was dropped
            for lease in self.held:
                queue.extend(conn, lease, self._shared.lease)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._waiting()
            self._halt.wait(min(left, 1.0))

    def _finish(self, batch: Encoded) -> None:
        """Write the vectors and acknowledge the jobs; give those that failed back with their error."""
        lease = batch.lease
        try:
            with self._call() as conn:
                finished = self._written(conn, batch)
        except errors.DatabaseError as exc:
            self._met(lease.embedding, exc)
            return
        self._lease = None
        if finished.locked:
            self._shared.owed.add([Lease(lease.embedding, lease.token, finished.locked)])
        if all(failure.retry_after is None for failure, _ in batch.failures):
            self._shared.backoff.end(lease.embedding.embedding_id)
        self._shared.report.finished(batch, finished)

    def _written(self, conn: Connection, batch: Encoded) -> Finished:
        """A deadlock with somebody who changes rows of the store himself is lost, and tried again."""
        lease = batch.lease
        for failure, failed in batch.failures:
            queue.fail(conn, lease, failed, failure.reason, charge=failure.charge, retry_after=failure.retry_after)
            keys = [job.key for job in failed[:10]]
            log.warning("jobs failed", entity=lease.embedding.entity, jobs=len(failed), keys=keys, error=failure.reason)
        part = Lease(lease.embedding, lease.token, batch.good)
        for _ in range(TRIES - 1):
            with suppress(errors.Conflict):
                return queue.finish(conn, part, self._shared.name, batch.chunks, batch.vectors)
        return queue.finish(conn, part, self._shared.name, batch.chunks, batch.vectors)

    def _met(self, embedding: Embedding, exc: errors.PgpipeError) -> None:
        """The database refuses: no fault if the embedding was dropped, or if the call was ended by a halt."""
        self._halt.check()
        with self._call() as conn:
            there = embedding.embedding_id in {e.embedding_id for e in queue.embeddings(conn, paused=True)}
        if there:
            self._pause(self._policy.met(embedding, exc))

    def _give_back(self) -> None:
        """What was claimed and not finished: at once, or if the connection is lost with the next one."""
        if not self.held:
            return
        self._shared.owed.add(self.held)
        self._lease = None
        with suppress(errors.PgpipeError), self._call() as conn:
            self._shared.owed.give_back(conn)
