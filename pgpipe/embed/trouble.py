"""What becomes of trouble with an embedding: a drain waits a few times, then does without it; a daemon lets it rest."""

import random
import time
from collections.abc import Sequence
from typing import Protocol

from pgpipe import errors
from pgpipe.embed.backoff import Backoff
from pgpipe.embed.halt import Halt
from pgpipe.embed.queue import Embedding
from pgpipe.embed.totals import Report
from pgpipe.log import get_logger
from pgpipe.target import Target

# Classes of SQLSTATE that say nothing about the rows at hand: a connection, a conflict, a lack, a lock, an end that
# somebody wished, a disk. As pgpipe_internal.is_passing.
PASSING = ("08", "40", "53", "55", "57", "58")
FIRST = 1.0  # seconds of back-off after a lost connection
PATIENCE = 5  # times in a row that a drain waits for an embedding whose trouble may pass
LOCKED = 10.0  # seconds that a drain waits for writers that hold jobs
POLL = 0.25  # seconds between a daemon's looks at an empty queue, give or take half; each costs about a millisecond
log = get_logger(__name__)


def of_rows(exc: errors.PgpipeError) -> bool:
    """Whether a row may be at fault: then the batch is halved until that one stands alone."""
    if exc.sqlstate is None:  # nothing reached the database
        return isinstance(exc, errors.InternalError | errors.DataError)
    return not exc.sqlstate.startswith(PASSING)


def may_pass(exc: errors.PgpipeError) -> bool:
    """Whether waiting may help."""
    return isinstance(exc, errors.Transient | errors.Unreachable) or (exc.sqlstate or "").startswith(PASSING)


def begin(backoff: Backoff, embedding: Embedding, exc: errors.PgpipeError) -> float:
    """Leave the embedding alone; returns for how many seconds. A connection may be lost by chance, so not for long."""
    asked = exc.retry_after if isinstance(exc, errors.Transient) else None
    shortest = FIRST if isinstance(exc, errors.Unreachable) else None
    return backoff.begin(embedding.embedding_id, asked, shortest)


class Policy(Protocol):
    """How a worker works: until the queue is empty, or for ever."""

    endless: bool  # without work it waits for some

    def wants(self, embedding: Embedding) -> bool:
        """Whether the worker serves this embedding now."""
        ...

    def met(self, embedding: Embedding, exc: errors.PgpipeError) -> None:
        """This went wrong with an embedding, and not with one of its rows."""
        ...

    def served(self, embedding: Embedding) -> None:
        """A batch of it was finished."""
        ...

    def empty(self, embedding: Embedding) -> None:
        """It has no job that is ready."""
        ...

    def lost(self, exc: errors.PgpipeError, pause: float) -> None:
        """The database was lost, or serves nothing: waits for so long, if it is to be tried once more."""
        ...

    def idle(self) -> float | None:
        """Without work, seconds until the next look for some; None if there will be none."""
        ...

    def waits_for_writers(self) -> bool:
        """Without work, whether jobs that writers hold are waited for."""
        ...


class Drain:
    """Serves what can be served; embeddings that cannot be fail it at its end."""

    endless = False

    def __init__(self, targets: Sequence[Target] | None, backoff: Backoff, halt: Halt) -> None:
        self._targets, self._backoff, self._halt = targets, backoff, halt
        self._waits: dict[int, int] = {}  # how often in a row
        self._resting: set[int] = set()  # in back-off, or not tried since
        self._losses = 0
        self._until = time.monotonic() + LOCKED
        self.refused: dict[int, errors.PgpipeError] = {}

    def wants(self, embedding: Embedding) -> bool:
        """Whether it was asked for, can be served, and is not in back-off."""
        number = embedding.embedding_id
        asked = self._targets is None or embedding.target in self._targets
        return asked and number not in self.refused and not self._in_back_off(number)

    def _in_back_off(self, number: int) -> bool:
        return number in self._resting and self._backoff.left(number) > 0

    def met(self, embedding: Embedding, exc: errors.PgpipeError) -> None:
        """Wait for what may pass, a few times; else do without the embedding."""
        number = embedding.embedding_id
        about = {"entity": embedding.entity, "name": embedding.name, "error": str(exc)}
        if number in self.refused or self._in_back_off(number):
            return  # another lane met it, too
        waits = self._waits[number] = self._waits.get(number, 0) + 1
        if may_pass(exc) and waits <= PATIENCE:
            self._resting.add(number)
            log.warning("embedding is in back-off", **about, seconds=round(begin(self._backoff, embedding, exc), 1))
        else:
            self.refused[number] = exc
            self._resting.discard(number)
            ends_it = next(iter(self.refused)) == number  # the drain raises this one: said once, by the caller
            (log.debug if ends_it else log.error)("embedding cannot be served", **about)

    def served(self, embedding: Embedding) -> None:
        """The next trouble is a new one."""
        self._waits.pop(embedding.embedding_id, None)
        self.empty(embedding)

    def empty(self, embedding: Embedding) -> None:
        """Nothing is to be waited for. While it is in back-off, what another lane began before says nothing."""
        if not self._in_back_off(embedding.embedding_id):
            self._resting.discard(embedding.embedding_id)

    def lost(self, exc: errors.PgpipeError, pause: float) -> None:
        """Fail: the caller knows whether to drain once more. A lock on a table of pgpipe's is waited for.

        Raises:
            Stopped: the worker was stopped meanwhile.
        """
        self._losses += 1
        if exc.sqlstate != "55P03" or self._losses > PATIENCE:
            raise exc
        log.warning("a table of pgpipe is locked", error=str(exc), retry_in=pause)
        self._halt.wait(pause)
        self._halt.check()

    def idle(self) -> float | None:
        """Until the first back-off ends."""
        left = [self._backoff.left(number) for number in list(self._resting)]
        return max(min(left), 0.05) if left else None

    def waits_for_writers(self) -> bool:
        """For a while after the start."""
        return time.monotonic() < self._until


class Daemon:
    """Goes on whatever happens: an embedding in trouble is in back-off, and a lost database is waited for."""

    endless = True

    def __init__(self, backoff: Backoff, report: Report, halt: Halt) -> None:
        self._backoff, self._report, self._halt = backoff, report, halt
        self._refused: set[int] = set()  # as long as this process runs with its configuration

    def wants(self, embedding: Embedding) -> bool:
        """Whether it can be served, and is not in back-off."""
        return embedding.embedding_id not in self._refused and not self._backoff.left(embedding.embedding_id)

    def met(self, embedding: Embedding, exc: errors.PgpipeError) -> None:
        """Leave the embedding alone: for good if this machine may not run its model, else for a while."""
        about = {"entity": embedding.entity, "name": embedding.name, "error": str(exc)}
        if isinstance(exc, errors.ModelRefused) and not isinstance(exc, errors.OtherModel):
            self._refused.add(embedding.embedding_id)
            log.error("embedding is left alone", **about)
            return
        log.error("embedding is in back-off", **about, seconds=round(begin(self._backoff, embedding, exc), 1))

    def served(self, embedding: Embedding) -> None:
        """The next back-off is a short one."""
        self._backoff.end(embedding.embedding_id)

    def empty(self, embedding: Embedding) -> None:
        """It is asked again."""

    def lost(self, exc: errors.PgpipeError, pause: float) -> None:
        """Wait.

        Raises:
            Stopped: the worker was stopped meanwhile.
        """
        self._halt.check()
        log.warning("database lost", error=str(exc), retry_in=pause)
        self._report.beat()
        self._halt.wait(pause * random.uniform(0.5, 1))  # noqa: S311 - spread, not secret
        self._halt.check()

    def idle(self) -> float | None:
        """For ever."""
        return POLL * random.uniform(0.5, 1.5)  # noqa: S311 - spread, not secret

    def waits_for_writers(self) -> bool:
        """Its next look gives back what they held."""
        return False
