"""Embeddings in trouble: how long each is left alone."""

import time

SHORTEST, LONGEST = 5.0, 300.0  # seconds


class Rests:
    """Until when each embedding rests, and for how long: twice as long each time, from SHORTEST to LONGEST."""

    def __init__(self) -> None:
        self._resting: dict[int, tuple[float, float]] = {}

    def begin(self, embedding_id: int, asked: float | None = None) -> None:
        """Let it rest: for the seconds asked for, else longer each time."""
        seconds = min(self.seconds(embedding_id) * 2, LONGEST) if asked is None else asked
        self._resting[embedding_id] = (time.monotonic() + seconds, seconds)

    def end(self, embedding_id: int) -> None:
        """It worked; the next rest is a short one."""
        self._resting.pop(embedding_id, None)

    def left(self, embedding_id: int) -> float:
        """Seconds until it may be tried again; 0 where it does not rest."""
        return max(self._resting.get(embedding_id, (0.0, 0.0))[0] - time.monotonic(), 0.0)

    def seconds(self, embedding_id: int) -> float:
        """How long the last rest was to be."""
        return self._resting.get(embedding_id, (0.0, SHORTEST / 2))[1]
