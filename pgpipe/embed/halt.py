"""How the lanes of a worker learn that they must end: it was stopped, or one of them failed."""

import threading
import time

LOOK = 0.25  # seconds between looks: an outsider sets the stop, so nobody can be woken by it


class Stopped(BaseException):
    """A lane must end, between two calls of the model or while it waits.

    Like KeyboardInterrupt it is not an Exception: libraries that load models catch those.
    """


class Halt:
    """The stop of a worker, or the failure of one of its threads."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._failed = threading.Event()

    def fail(self) -> None:
        """A thread failed: the others end."""
        self._failed.set()

    @property
    def stopped(self) -> bool:
        """Whether the worker was stopped from outside."""
        return self._stop.is_set()

    def __bool__(self) -> bool:
        return self._stop.is_set() or self._failed.is_set()

    def check(self) -> None:
        """Go on, unless it is over.

        Raises:
            Stopped: it is.
        """
        if self:
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Wait, unless it is over."""
        until = time.monotonic() + seconds
        while not self and (left := until - time.monotonic()) > 0:
            self._stop.wait(min(left, LOOK))
