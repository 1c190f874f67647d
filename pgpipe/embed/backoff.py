"""Embeddings in back-off: how long each is left alone after a fault."""

import threading
import time

SHORTEST, LONGEST = 5.0, 300.0  # seconds


class Backoff:
    """Until when each embedding waits, and for how long: twice as long each time, up to LONGEST."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waits: dict[int, tuple[float, float]] = {}

    def begin(self, embedding_id: int, asked: float | None = None, shortest: float | None = None) -> float:
        """Leave it alone for the seconds asked for, else longer each time (`shortest` at first); returns for how long.

        One that waits already waits no longer for it: several lanes may meet the same fault.
        """
        with self._lock:
            until, last = self._waits.get(embedding_id, (0.0, 0.0))
            if until > time.monotonic():
                return last
            seconds = min(max(last * 2, shortest or SHORTEST), LONGEST) if asked is None else asked
            self._waits[embedding_id] = (time.monotonic() + seconds, seconds)
            return seconds

    def end(self, embedding_id: int) -> None:
        """It worked; the next back-off is a short one."""
        with self._lock:
            self._waits.pop(embedding_id, None)

    def left(self, embedding_id: int) -> float:
        """Seconds until it may be tried again; 0 unless it is in back-off."""
        return max(self._waits.get(embedding_id, (0.0, 0.0))[0] - time.monotonic(), 0.0)
