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
from psycopg.pq import TransactionStatus
from psycopg.types import TypeInfo

from pgpipe import errors
from pgpipe.db import Connection, Database, translated
from pgpipe.embed.halt import END
from pgpipe.embed.step import judged
from pgpipe.log import get_logger

FIRST, RETRY = 1.0, 30.0  # seconds between tries to reach the database, at first and at most
IMPATIENT = {"lock_timeout": "2s"}  # a table that somebody alters keeps no other one waiting
log = get_logger(__name__)


class Link:
    """A connection that knows pgvector's types; one thread uses it, another one may end its calls."""

    def __init__(self, database: Database) -> None:
        """Connect.

        Raises:
            Unreachable: the database does not answer.
            VectorsMissing: it has no pgvector.
        """
        self._database = database
        self._since: float | None = None
        self._cancelled = False
        self._conn = self._connected()

    def _connected(self) -> Connection:
        conn = self._database.connect(autocommit=True, settings=IMPATIENT)
        try:
            register_vector_info(conn, _vector_type(conn))
        except BaseException:
            conn.close()
            raise
        return conn

    def renew(self) -> None:
        """Connect once more, because the connection was lost.

        Raises:
            Unreachable, VectorsMissing: as at first.
        """
        self._conn.close()
        self._conn = self._connected()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._conn.close()

    @contextmanager
    def call(self, doing: str) -> Iterator[Connection]:
        """The connection, for one short call.

        Args:
            doing: what for, as a message says it: "claiming jobs".

        Raises:
            Unreachable: it was lost.
            PgpipeError: whatever else the call met.
        """
        self._cancelled = False
        self._since = time.monotonic()
        try:
            yield self._conn
        except END:
            raise
        except BaseException as exc:
            error = self._judged(exc, doing)
            if error is exc:
                raise
            raise error from exc
        finally:
            self._since = None

    def _judged(self, exc: BaseException, doing: str) -> errors.PgpipeError:
        """As an error of ours. It is of the connection if that is closed, not if a function lost one of its own."""
        error = judged(exc, doing)
        if self._conn.info.transaction_status == TransactionStatus.ACTIVE:  # such as MemoryError within an answer
            self._conn.close()
        if isinstance(error, errors.Unreachable) and not self._conn.closed:
            other = errors.DatabaseError(str(error))
            other.sqlstate = error.sqlstate
            return other
        return error

    @property
    def lost(self) -> bool:
        """Whether it takes no more calls before it is renewed."""
        return self._conn.closed

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


def linked(database: Database, work: Callable[[Link], None], lost: Callable[[errors.PgpipeError, float], None]) -> None:
    """Do the work over a connection, and begin it once more over another one if that is lost, or cannot work at all.

    Args:
        database: to connect to.
        work: to be done; what concerns one embedding, it bears by itself.
        lost: called with the error and with the seconds to wait, which double; what it raises ends the work.
    """
    pause = FIRST
    while True:
        began = time.monotonic()
        try:
            with Link(database) as link:
                return work(link)
        except (errors.Unreachable, errors.DatabaseError, errors.DataError, errors.InternalError) as exc:
            if time.monotonic() - began > pause:  # it worked for a while
                pause = FIRST
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
