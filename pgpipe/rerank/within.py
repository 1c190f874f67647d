"""Reranking within a budget: who asks waits no longer, whatever the model does."""

import math
import queue
import threading
import time
import weakref
from dataclasses import dataclass, field

from pgpipe.mask import said
from pgpipe.rerank.base import Reranker
from pgpipe.searching.steps import Scored

FIRST = 4  # texts that are read at once, until it is known how long one takes
MOST = 32  # more is slower on a processor, whose cache is small
THREADS = 4  # of a reranker that answers several at once
ROOM = 64  # lists that may wait for a thread; a service that hangs would fill memory with them


@dataclass
class Run:
    """One list of texts on its way through a reranker."""

    query: str
    texts: list[str]
    until: float  # of the monotonic clock
    scores: list[float] = field(default_factory=list)
    fault: str | None = None
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()


class Scorer:
    """A loaded reranker with the threads that run it."""

    def __init__(self, reranker: Reranker) -> None:
        self._runs: queue.SimpleQueue[Run | None] = queue.SimpleQueue()
        threads = THREADS if getattr(reranker, "concurrent", False) else 1
        for _ in range(threads):
            # As a daemon's: a process that ends does not wait for a service that does not answer.
            threading.Thread(target=_serve, args=(self._runs, reranker), name="reranker", daemon=True).start()
        weakref.finalize(self, _close, self._runs, threads)

    def __call__(self, query: str, texts: list[str], budget: float) -> Scored:
        """The scores of the first texts, as many as are made within so many seconds."""
        began = time.monotonic()
        if self._runs.qsize() >= ROOM:
            return Scored([], "the reranker is busy: too many lists wait for it")
        run = Run(query, texts, began + budget)
        self._runs.put(run)
        run.over.wait(budget)
        scores, spent = list(run.scores), time.monotonic() - began  # what comes later comes too late
        if run.fault:
            return Scored([], run.fault, spent)
        return Scored(scores, None if scores else f"no score came within {budget * 1000:.0f} ms", spent)


def _serve(runs: "queue.SimpleQueue[Run | None]", reranker: Reranker) -> None:
    while run := runs.get():
        try:
            _read(run, reranker)
        except BaseException as exc:  # noqa: BLE001 - who waits hears of it
            run.fault = said(exc)
        run.over.set()
        del run  # which holds texts


def _read(run: Run, reranker: Reranker) -> None:
    """Score text after text, as long as there is time for some more."""
    batch = getattr(reranker, "batch", None)
    size = batch or FIRST
    while len(run.scores) < len(run.texts) and run.left > 0 and size:
        part = run.texts[len(run.scores) :][:size]
        began = time.monotonic()
        made = [float(score) for score in reranker.scores(run.query, part, run.left)]
        if len(made) != len(part) or not all(map(math.isfinite, made)):
            raise ValueError(f"the reranker {reranker.name} made no score for each text")
        run.scores += made
        each = (time.monotonic() - began) / len(part)
        size = batch or min(MOST, int(run.left / max(each, 1e-9)))


def _close(runs: "queue.SimpleQueue[Run | None]", threads: int) -> None:
    for _ in range(threads):
        runs.put(None)
