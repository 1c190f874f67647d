"""A lane's connection: for how long a call of it has lasted, and how another thread ends a call that lasts too long."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import psycopg
from pgvector.psycopg.vector import register_vector_info
from psycopg import sql
from psycopg.types import TypeInfo

from pgpipe import errors
from pgpipe.db import Connection, Database, translated
from pgpipe.log import get_logger

FIRST, RETRY = 1.0, 30.0  # seconds between tries to reach the database, at first and at most
IMPATIENT = "set local lock_timeout = '2s'"
log = get_logger(__name__)


class Link:
    """A connection that knows pgvector's types; one thread uses it, another one may end its calls."""

    def __init__(self, database: Database) -> None:
        """Connect.

        Raises:
            Unreachable: the database does not answer.
            VectorsMissing: it has no pgvector.
        """
        self._since: float | None = None
        self._cancelled = False
        self._conn = database.connect(autocommit=True)
        try:
            register_vector_info(self._conn, _vector_type(self._conn))
        except BaseException:
            self._conn.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._conn.close()

    @contextmanager
    def call(self) -> Iterator[Connection]:
        """The connection, for one short call."""
        self._cancelled = False
        self._since = time.monotonic()
        try:
            yield self._conn
        finally:
            self._since = None

    @contextmanager
    def impatient(self) -> Iterator[Connection]:
        """The connection, for a call in one transaction that does not wait long for a table that somebody alters."""
        with self.call() as conn, translated(), conn.transaction():
            conn.execute(IMPATIENT)
            yield conn

    def lasted(self) -> float:
        """Seconds that the present call has lasted; 0 between calls."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def cancel(self) -> None:
        """Ask the server, once for each call, to end it; in a thread of its own: the server may not answer."""
        if not self._cancelled:
            self._cancelled = True
            threading.Thread(target=self._cancel, name="cancel", daemon=True).start()

    def _cancel(self) -> None:
        with contextlib.suppress(psycopg.Error):
            self._conn.cancel_safe(timeout=RETRY)

    def cut(self) -> None:
        """End the connection, also if the peer's kernel answers but the peer does not; the call fails at once."""
        with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self._conn.fileno())) as twin:
            twin.shutdown(socket.SHUT_RDWR)


def linked(database: Database, work: Callable[[Link], None], lost: Callable[[errors.Unreachable, float], None]) -> None:
    """Do the work over a connection, and begin it once more over another one if that is lost.

    Args:
        database: to connect to.
        work: to be done.
        lost: called with the error and with the seconds to wait, which double; what it raises ends the work.
    """
    pause = FIRST
    while True:
        try:
            with Link(database) as link:
                pause = FIRST
                return work(link)
        except errors.Unreachable as exc:
            lost(exc, pause)
            pause = min(pause * 2, RETRY)


def _vector_type(conn: Connection) -> TypeInfo | None:
    """The type, looked up by its full name: the extension may lie in a schema that is not on the search_path."""
    with translated():
        row = conn.execute("select pgpipe_internal.vector_schema()").fetchone()
        if row is None or row[0] is None:
            raise errors.VectorsMissing(
                "vectors need the extension pgvector, which this database lacks: install it"
                " (Debian: postgresql-NN-pgvector), run `create extension vector`, then `pgpipe migrate`"
            )
        return TypeInfo.fetch(conn, sql.Identifier(row[0], "vector"))
