"""What a worker did: counted here for all lanes, and passed on to hooks."""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from pgpipe.embed.encode import Encoded, must_read
from pgpipe.embed.queue import Finished, Lease
from pgpipe.target import Target


@dataclass
class Totals:
    """What a worker did, in jobs."""

    # By schema and table: rows that got vectors, computed or copied.
    embedded: dict[tuple[str, str], int] = field(default_factory=dict)
    fresh: int = 0  # the stored vectors were of this text already
    copied: int = 0  # of those: the vectors are another row's, of the store or of the batch, with the same text
    stale: int = 0  # had passed to another worker, nothing written
    failed: int = 0


@dataclass(frozen=True)
class Hooks:
    """What is called when something got done: by any lane, but never by two at once."""

    # Jobs that got on since the last call, as the model reads their texts; less than 0 if they were given back.
    progress: Callable[[Target, int], None] = lambda _target, _jobs: None
    beat: Callable[[], None] = lambda: None  # something got done: a claim, a call of the model, a look
    timed: Callable[[Target, float], None] = lambda _target, _seconds: None  # a batch was finished, and what it took


class Report:
    """The totals of a worker, and its hooks."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._lock = threading.Lock()
        self._shown = dict[uuid.UUID, int]()  # jobs of a batch at the model that `progress` was called with
        self.totals = Totals()

    def beat(self) -> None:
        """Something got done."""
        with self._lock:
            self._hooks.beat()

    def read(self, lease: Lease, share: float) -> None:
        """The model has read this share of a batch's texts; 0 also says that the batch was given back."""
        with self._lock:
            self._show(lease, int(share * len(lease.jobs)))

    def _show(self, lease: Lease, jobs: int) -> None:
        before = self._shown.pop(lease.token, 0)
        if jobs:
            self._shown[lease.token] = jobs
        if jobs != before:
            self._hooks.progress(lease.embedding.target, jobs - before)

    def finished(self, batch: Encoded, finished: Finished) -> None:
        """A batch is in the database."""
        target, totals = batch.lease.embedding.target, self.totals
        lost = finished.stale + len(finished.locked)
        texts = [job.content for job in batch.good if must_read(job)]
        twins = sum(job.twin for job in batch.good)
        with self._lock:
            totals.embedded[target.pair] = totals.embedded.get(target.pair, 0) + max(batch.read + twins - lost, 0)
            totals.fresh += sum(job.fresh for job in batch.good)
            totals.copied += twins + len(texts) - len(set(texts))
            totals.stale += finished.stale
            totals.failed += sum(len(jobs) for failure, jobs in batch.failures if failure.retry_after is None)
            self._hooks.beat()
            self._hooks.timed(target, time.monotonic() - batch.lease.claimed)
            self._show(batch.lease, len(batch.lease.jobs))
            del self._shown[batch.lease.token]
