"""What a worker did: counted here for all lanes, and passed on to hooks."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pgpipe.embed.encode import Encoded
from pgpipe.embed.queue import Finished
from pgpipe.target import Target


@dataclass
class Totals:
    """What a worker did, in jobs."""

    # By schema and table: vectors computed and stored.
    embedded: dict[tuple[str, str], int] = field(default_factory=dict)
    fresh: int = 0  # the stored vectors were of this text already
    reused: int = 0  # another row of the store, or of the batch, had the vectors of this text
    stale: int = 0  # had passed to another worker, nothing written
    failed: int = 0


@dataclass(frozen=True)
class Hooks:
    """What is called when something got done: by any lane, but never by two at once."""

    progress: Callable[[Target, int], None] = lambda _target, _jobs: None  # jobs finished since the last call
    beat: Callable[[], None] = lambda: None  # something got done: a claim, a call of the model, a look
    timed: Callable[[Target, float], None] = lambda _target, _seconds: None  # a batch was finished, and what it took


class Report:
    """The totals of a worker, and its hooks."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._lock = threading.Lock()
        self.totals = Totals()

    def beat(self) -> None:
        """Something got done."""
        with self._lock:
            self._hooks.beat()

    def finished(self, batch: Encoded, finished: Finished) -> None:
        """A batch is in the database."""
        target, totals = batch.lease.embedding.target, self.totals
        lost = finished.stale + len(finished.locked)
        with self._lock:
            totals.embedded[target.pair] = totals.embedded.get(target.pair, 0) + max(batch.read - lost, 0)
            totals.fresh += sum(job.fresh for job in batch.good)
            totals.reused += sum(job.twin for job in batch.good)
            totals.stale += finished.stale
            totals.failed += sum(len(jobs) for failure, jobs in batch.failures if failure.retry_after is None)
            self._hooks.beat()
            self._hooks.timed(target, time.monotonic() - batch.lease.claimed)
            self._hooks.progress(target, len(batch.lease.jobs))
