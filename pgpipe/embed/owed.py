"""Leases to be given back: at once if it can be, else by the next call, over whatever connection that has."""

import threading
from collections.abc import Iterable

from pgpipe import errors
from pgpipe.db import Connection
from pgpipe.embed import queue
from pgpipe.embed.queue import Lease
from pgpipe.embed.step import step

RELEASING = "giving jobs back"


class Owed:
    """Leases that a worker does not work on any more; a writer may hold their jobs, or the connection was lost."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases: list[Lease] = []

    def __bool__(self) -> bool:
        return bool(self._leases)

    def add(self, leases: Iterable[Lease]) -> None:
        """Give these back as soon as it can be."""
        with self._lock:
            self._leases += leases

    def give_back(self, conn: Connection) -> int:
        """Try to give all of them back; returns how many jobs a writer still holds.

        Raises:
            Unreachable, DatabaseError: the connection was lost, or somebody ended the call; they are kept.
        """
        with self._lock:
            left, self._leases = self._leases, []
        locked = 0
        try:
            while left:
                still = _release(conn, left[0])
                lease = left.pop(0)
                if still:
                    locked += still
                    self.add([lease])
        finally:
            self.add(left)
        return locked


def _release(conn: Connection, lease: Lease) -> int:
    try:
        with step(RELEASING):
            return queue.release(conn, lease)
    except errors.PgpipeError as exc:
        if conn.closed or exc.sqlstate in {"57014", "55P03"}:  # ended by somebody, or a table is locked
            raise
        return 0  # the embedding was dropped; whatever else it is, leases run out by themselves
