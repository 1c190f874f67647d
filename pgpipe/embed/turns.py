"""What the lanes of a worker share: which embedding is next, and which lane looks for work when the queue is empty."""

import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from pgpipe.embed.halt import LOOK, Halt
from pgpipe.embed.queue import Embedding

STALE = 5.0  # seconds since any lane looked for work: a lane may be busy for long, or hang


class Turns:
    """Whose turn it is: the embedding that was tried longest ago, whichever lane tried it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tried: dict[int, int] = {}
        self._tries = 0

    def take(self, embeddings: Iterable[Embedding]) -> Embedding:
        """The next of these, which thereby has had its turn."""
        with self._lock:
            chosen = min(embeddings, key=lambda e: self._tried.get(e.embedding_id, 0))
            self._tries += 1
            self._tried[chosen.embedding_id] = self._tries
            return chosen


class Lookout:
    """Of the lanes that find nothing to do, all sleep but the last: that one looks out for work and wakes the others.

    A lane takes part while it has a connection (`with lookout:`). So a lane that lost its own keeps no other asleep.
    """

    def __init__(self, halt: Halt) -> None:
        self._halt = halt
        self._changed = threading.Condition()
        self._awake = 0
        self._found = 0  # how often there was work
        self._looked = 0.0  # when a lane last looked for some
        self.over = False

    def __enter__(self) -> Self:
        with self._changed:
            self._awake += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._awake -= 1
            self._changed.notify_all()

    def look(self) -> None:
        """A lane looks for work."""
        self._looked = time.monotonic()

    def found(self) -> None:
        """There is work, perhaps for several."""
        with self._changed:
            self._found += 1
            self._changed.notify_all()

    def sleep(self) -> bool:
        """Sleep until another lane finds work, or none looks for some; returns False at once to the last one awake."""
        with self._changed:
            if self._awake == 1:
                return False
            found = self._found
            self._awake -= 1
            while self._found == found and self._others_look() and not self.over and not self._halt:
                self._changed.wait(LOOK)
            self._awake += 1
            return True

    def _others_look(self) -> bool:
        return self._awake > 0 and time.monotonic() - self._looked < STALE

    def end(self) -> None:
        """Nothing is left to do, for any lane."""
        with self._changed:
            self.over = True
            self._changed.notify_all()
