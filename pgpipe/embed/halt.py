"""How the lanes of a worker learn that they must end: it was stopped, or one of them failed."""

import threading
import time

LOOK = 0.1  # seconds between looks: an outsider sets the stop, so nobody can be woken by it
# Seconds after a stop until the server is asked to end a call, until the connection is cut, until threads that hang are
# left behind, and until nothing more is waited for. The process ends within two.
CANCEL, CUT, LEAVE, LAST = 0.4, 0.8, 1.2, 1.5


class Stopped(BaseException):
    """A lane must end, between two calls of the model or while it waits.

    Like KeyboardInterrupt it is not an Exception: libraries that load models catch those.
    """


# What ends a thread. All else that a model raises is an error of the model. A panic of Rust is not an Exception either.
END = (Stopped, KeyboardInterrupt, GeneratorExit)


class Halt:
    """The stop of a worker, or the failure of one of its threads."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._failed = threading.Event()
        self._began: float | None = None

    def fail(self) -> None:
        """A thread failed: the others end."""
        self._failed.set()

    @property
    def stopped(self) -> bool:
        """Whether the worker was stopped from outside."""
        return self._stop.is_set()

    def __bool__(self) -> bool:
        return self._stop.is_set() or self._failed.is_set()

    def lasted(self) -> float:
        """Seconds since this was first asked and it was over; 0 before."""
        if not self:
            return 0.0
        if self._began is None:
            self._began = time.monotonic()
        return time.monotonic() - self._began

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
