"""What becomes of trouble: a drain waits a few times, then fails; a daemon leaves the embedding alone and goes on."""

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

PATIENCE = 5  # times that a drain waits for a backend that cannot answer
LOCKED = 10.0  # seconds that a drain waits for writers that hold jobs
log = get_logger(__name__)


class Policy(Protocol):
    """How a worker works: until the queue is empty, or for ever."""

    endless: bool  # without work it waits for some

    def wants(self, embedding: Embedding) -> bool:
        """Whether the worker serves this embedding now."""
        ...

    def met(self, embedding: Embedding, exc: errors.PgpipeError) -> float:
        """This went wrong with an embedding; returns the seconds that the lane waits before it goes on."""
        ...

    def lost(self, exc: errors.Unreachable, pause: float) -> None:
        """The database was lost; waits for so long, where it is to be tried once more."""
        ...

    def waits_for_writers(self) -> bool:
        """Without work, whether jobs that writers hold are waited for."""
        ...


class Drain:
    """Fails with the first error that waiting does not help; embeddings that cannot be served fail it at its end."""

    endless = False

    def __init__(self, targets: Sequence[Target] | None, backoff: Backoff) -> None:
        self._targets, self._backoff = targets, backoff
        self._waits = 0
        self._until = time.monotonic() + LOCKED
        self.refused: dict[int, errors.PgpipeError] = {}

    def wants(self, embedding: Embedding) -> bool:
        """Whether it was asked for and can be served."""
        return embedding.embedding_id not in self.refused and (
            self._targets is None or embedding.target in self._targets
        )

    def met(self, embedding: Embedding, exc: errors.PgpipeError) -> float:
        """Wait for what may pass, a few times.

        Raises:
            PgpipeError: the error itself, if it does not pass.
        """
        if isinstance(exc, errors.ModelRefused | errors.RowsHidden):
            self.refused[embedding.embedding_id] = exc
            return 0.0
        self._waits += 1
        if not isinstance(exc, errors.Transient) or self._waits > PATIENCE:
            raise exc
        seconds = self._backoff.begin(embedding.embedding_id, exc.retry_after)
        log.warning("the model does not answer", entity=embedding.entity, error=str(exc), retry_in=seconds)
        return seconds

    def lost(self, exc: errors.Unreachable, pause: float) -> None:  # noqa: ARG002 - a drain does not wait
        """Fail: the caller knows whether to drain once more."""
        raise exc

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

    def met(self, embedding: Embedding, exc: errors.PgpipeError) -> float:
        """Leave the embedding alone: for good if this machine may not run its model, else for a while."""
        about = {"entity": embedding.entity, "name": embedding.name, "error": str(exc)}
        if isinstance(exc, errors.ModelRefused) and not isinstance(exc, errors.OtherModel):
            self._refused.add(embedding.embedding_id)
            log.error("embedding is left alone", **about)
            return 0.0
        asked = exc.retry_after if isinstance(exc, errors.Transient) else None
        seconds = self._backoff.begin(embedding.embedding_id, asked)
        log.error("embedding is in back-off", **about, seconds=round(seconds, 1))
        return 0.0

    def lost(self, exc: errors.Unreachable, pause: float) -> None:
        """Wait.

        Raises:
            Stopped: the worker was stopped meanwhile.
        """
        self._halt.check()
        log.warning("database lost", error=str(exc), retry_in=pause)
        self._report.beat()
        self._halt.wait(pause * random.uniform(0.5, 1))  # noqa: S311 - spread, not secret
        self._halt.check()

    def waits_for_writers(self) -> bool:
        """Its next look gives back what they held."""
        return False
