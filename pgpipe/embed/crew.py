"""Threads that work for a worker: the main thread watches over them and hears signals meanwhile."""

import threading
from collections.abc import Callable, Sequence

from pgpipe.embed.halt import LEAVE, LOOK, Halt, Stopped
from pgpipe.log import get_logger

log = get_logger(__name__)


class Crew:
    """Threads that end together: when they are done, when one of them fails, or when the worker is stopped."""

    def __init__(self, halt: Halt, leave: float = LEAVE) -> None:
        """Prepare.

        Args:
            halt: ends them.
            leave: seconds after a stop for which a thread is waited for: a model or a server may hang.
        """
        self._halt, self._leave = halt, leave
        self._ended = threading.Event()
        self._errors: list[BaseException] = []

    def run(self, works: Sequence[Callable[[], None]], watch: Callable[[float], None] = lambda _halted: None) -> bool:
        """Do these, each in a thread; returns False if some had to be left behind, as they did not end after a stop.

        Args:
            works: each called once.
            watch: called again and again meanwhile, with the seconds since the halt (0 before it).

        Raises:
            BaseException: the first that one of them raised.
        """
        threads = [threading.Thread(target=self._guarded, args=(work,), name="lane", daemon=True) for work in works]
        for thread in threads:
            thread.start()
        try:
            self._watch(threads, watch)
        except BaseException:  # KeyboardInterrupt: what is at hand ends; after a second one nothing is waited for
            self._halt.fail()
            self._watch(threads, watch)
            raise
        if self._errors:
            raise self._errors[0]
        return not any(thread.is_alive() for thread in threads)

    def _watch(self, threads: Sequence[threading.Thread], watch: Callable[[float], None]) -> None:
        while any(thread.is_alive() for thread in threads):
            self._ended.wait(LOOK)
            self._ended.clear()
            since = self._halt.lasted()
            watch(since)
            if self._halt.stopped and since > self._leave:
                log.warning("ends without what hangs", threads=sum(thread.is_alive() for thread in threads))
                return

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Stopped:
            pass
        except BaseException as exc:  # noqa: BLE001 - the thread that watches raises it
            self._errors.append(exc)
            self._halt.fail()
        finally:
            self._ended.set()
