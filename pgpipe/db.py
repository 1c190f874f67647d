"""Connections and error translation. The only caller of psycopg.connect."""

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pgpipe import errors, pins
from pgpipe.config import DatabaseSettings
from pgpipe.embedded import default_dir, start_embedded
from pgpipe.log import get_logger
from pgpipe.mask import said

Connection = psycopg.Connection[tuple[Any, ...]]
T = TypeVar("T")
log = get_logger(__name__)

BY_SQLSTATE: dict[str, type[errors.PgpipeError]] = {
    "PP006": errors.VectorsMissing,
    "PP010": errors.DataError,
    "PP012": errors.RowsHidden,
    "PP013": errors.DataError,
    "PP020": errors.UsageError,
}
PART_OF_URL = re.compile(
    r"""(["'])[^"']*@[^"']*\1"""
)  # libpq takes what follows the first @ of a password for the host's name
# SQLSTATEs: a lost connection, a server that restarts, a deadlock, no free connection.
TRANSIENT = ("08", "57P01", "57P02", "57P03", "40P01", "40001", "53300")
PAUSES = (0.5, 1, 2, 4, 8, 15, 30)  # seconds before each new try
PINNED = {"client_encoding": "UTF8"}
# Balancers cut a TCP connection that is silent for four minutes. tcp_user_timeout is left to the user: Linux would also
# cut a COPY whose server does not read for so long, because it waits for a lock.
DEFAULTS = {
    "fallback_application_name": "pgpipe",
    "connect_timeout": 10,
    "keepalives_idle": 60,
    "keepalives_interval": 10,
    "keepalives_count": 6,
}
NO_SCHEMA = re.compile(r"(?<![\w.])pgpipe(?!\w)")  # the schema, or what is in it, in whatever language


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into ours: one line each, with what to do.

    Raises:
        Unreachable: the server does not answer, or refused the login.
        SchemaMissing: `pgpipe migrate` has not run, or not with this version.
        VectorsMissing: the database has no pgvector.
        DataError: rows that break a rule of the target.
        DatabaseError: any other refusal of the server.
    """
    try:
        yield
    except psycopg.Error as exc:
        raise translate(exc) from exc


def again(run: Callable[[], T], what: str, tell: Callable[[str], None] = lambda _line: None) -> T:
    """Run; if the database or the source is lost on the way, run again after a pause, for about a minute in all.

    Args:
        run: begins from the start whenever it is called, whatever an earlier call did.
        what: how messages name it.
        tell: called with a line before each new try.

    Raises:
        PgpipeError: one that is not transient, or the last of those that are.
    """
    for pause in PAUSES:
        try:
            return run()
        except errors.PgpipeError as exc:
            if not exc.transient:
                raise
            log.warning("retried", what=what, because=str(exc))
            tell(f"{what} is retried: {exc}")
        time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spread, not secret
    return run()


def translate(exc: psycopg.Error) -> errors.PgpipeError:
    """The error of ours that says what the driver's says, without row values and passwords."""
    error = _translate(exc)
    error.transient = exc.sqlstate is None or exc.sqlstate.startswith(TRANSIENT)
    return error


def _translate(exc: psycopg.Error) -> errors.PgpipeError:
    state = exc.sqlstate
    if state is None or state.startswith(("08", "57P")):
        reason = PART_OF_URL.sub("… (write an @ within a URL's password as %40)", _first_line(exc))
        return errors.Unreachable(f"the database does not answer: {reason}")
    if state.startswith("28"):
        return errors.Unreachable(f"the database refused the login: {exc.diag.message_primary}")
    if state in {"3F000", "42P01", "42883"} and NO_SCHEMA.search(str(exc)):
        return errors.SchemaMissing(
            f"the database lacks pgpipe's schema ({exc.diag.message_primary}); run `pgpipe migrate`"
        )
    if state == "25006":
        return errors.DatabaseError(
            f"the database is read-only: {exc.diag.message_primary}; connect to the primary server, or look whether its"
            " disk is full and default_transaction_read_only is set for that reason"
        )
    if state.startswith("40"):
        return errors.Conflict(f"another transaction was in the way: {exc.diag.message_primary}")
    kind = BY_SQLSTATE.get(state, errors.DataError if state.startswith(("22", "23")) else errors.DatabaseError)
    hint = f" {exc.diag.message_hint}" if exc.diag.message_hint else ""
    message = said(exc).rstrip(".")
    return kind(f"{message}.{hint}" if hint else message)


def _first_line(exc: BaseException) -> str:
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[0] if lines else type(exc).__name__


class Database:
    """Where to connect. Starts the embedded server on first use if no url is configured."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self.schema = settings.db_schema
        self._url = settings.url
        self._embedded_dir = settings.embedded_dir
        self._sessions: bool | None = None  # whether the pooler in between keeps sessions; None until asked

    @property
    def url(self) -> str:
        """The connection string; secret."""
        if self._url is None:
            self._url = start_embedded(self._embedded_dir or default_dir())
        return self._url

    def connect(self, *, autocommit: bool = False, session: bool = False, keep_timeouts: bool = False) -> Connection:
        """A new connection, whose settings are pinned whatever role, database or environment say.

        Args:
            autocommit: each statement is a transaction.
            session: the caller needs what belongs to a session, such as its locks.
            keep_timeouts: those of the role hold; for questions, which somebody may want to bound.

        Raises:
            UsageError: the connection string cannot be read, or a pooler gives each transaction another session.
            Unreachable: no server answers there, or it refused the login.
        """
        settings = pins.MEANING | pins.WAITS | ({} if keep_timeouts else pins.WORK)
        with translated():
            conn = self._open()
            try:
                if conn.pin(settings) and (session or self._sessions):
                    self._require_sessions(conn)
                    conn.pin_session(settings)
                conn.autocommit = autocommit
            except BaseException:
                conn.close()
                raise
        return conn

    def _open(self) -> pins.Pinned:
        try:
            options = conninfo_to_dict(self.url)
        except psycopg.ProgrammingError:
            raise errors.UsageError(
                "database.url is not a connection string; write postgresql://user@host/dbname"
            ) from None
        defaults = {} if options.get("service") else _defaults()
        # PgBouncer in transaction mode gives each transaction another server: nothing is prepared on one of them.
        return pins.Pinned.connect(**(defaults | options | PINNED), autocommit=True, prepare_threshold=None)

    def _require_sessions(self, conn: pins.Pinned) -> None:
        """Ask once what the pooler does."""
        if self._sessions is None:
            with self._open() as other:
                self._sessions = pins.one_server_each(conn, other)
        if not self._sessions:
            raise errors.UsageError(
                "the database is behind a pooler in transaction mode, which keeps no locks and settings of a session;"
                " for this command, set database.url to the server itself, or to a pool in session mode"
            )


def _defaults() -> dict[str, Any]:
    """What is given to libpq if neither URL nor environment nor the service that it names says otherwise."""
    said = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults() if option.val is not None}
    return {name: value for name, value in DEFAULTS.items() if name not in said}
