"""Connections. The only caller of psycopg.connect."""

from collections.abc import Mapping
from typing import Any, LiteralString

import psycopg
from psycopg.abc import Params
from psycopg.conninfo import conninfo_to_dict

from pgpipe import errors
from pgpipe.db import pins
from pgpipe.db.errors import translated
from pgpipe.settings.model import DatabaseSettings

Connection = psycopg.Connection[tuple[Any, ...]]

PINNED = {"client_encoding": "UTF8"}
NO_OTHERS: Mapping[str, str] = {}
# Balancers cut a TCP connection that is silent for four minutes. tcp_user_timeout is left to the user: Linux would also
# cut a COPY whose server does not read for so long, because it waits for a lock.
DEFAULTS = {
    "fallback_application_name": "pgpipe",
    "connect_timeout": 10,
    "keepalives_idle": 60,
    "keepalives_interval": 10,
    "keepalives_count": 6,
}


class Database:
    """Where to connect. Starts the embedded server on first use if no url is configured."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self.schema = settings.db_schema
        self._url = settings.url
        self._named = "read_url" if settings.url and settings.url == settings.read_url else "url"
        self._embedded_dir = settings.embedded_dir
        self._sessions: bool | None = None  # whether the pooler in between keeps sessions; None until asked

    @property
    def url(self) -> str:
        """The connection string; secret."""
        if self._url is None:
            from pgpipe.db.embedded import default_dir, start_embedded

            self._url = start_embedded(self._embedded_dir or default_dir())
        return self._url

    def connect(
        self,
        *,
        autocommit: bool = False,
        session: bool = False,
        keep_timeouts: bool = False,
        settings: Mapping[str, str] = NO_OTHERS,
    ) -> Connection:
        """A new connection, whose settings are pinned whatever role, database or environment say.

        Args:
            autocommit: each statement is a transaction.
            session: the caller needs what belongs to a session, such as its locks.
            keep_timeouts: those of the role hold; for questions, which somebody may want to bound.
            settings: instead of those that are pinned otherwise.

        Raises:
            UsageError: the connection string cannot be read, or a pooler gives each transaction another session.
            Unreachable: no server answers there, or it refused the login.
        """
        pinned = {**pins.MEANING, **pins.COST, **pins.WAITS, **({} if keep_timeouts else pins.WORK), **settings}
        with translated():
            conn = self._open()
            try:
                if conn.pin(pinned) and (session or self._sessions):
                    self._require_sessions(conn)
                    conn.pin_session(pinned)
                conn.autocommit = autocommit
            except BaseException:
                conn.close()
                raise
        return conn

    def parameters(self) -> dict[str, Any]:
        """What a connection is opened with; secret.

        Raises:
            UsageError: the connection string cannot be read.
        """
        try:
            options = conninfo_to_dict(self.url)
        except psycopg.ProgrammingError:
            raise errors.UsageError(
                f"database.{self._named} is not a connection string; write postgresql://user@host/dbname"
            ) from None
        defaults = {} if options.get("service") else _defaults()
        # PgBouncer in transaction mode gives each transaction another server: nothing is prepared on one of them.
        return defaults | options | PINNED | {"autocommit": True, "prepare_threshold": None}

    def _open(self) -> pins.Pinned:
        return pins.Pinned.connect(**self.parameters())

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


def one(conn: Connection, query: LiteralString, values: Params | None = None) -> Any:  # noqa: ANN401 - the query says what comes back
    """The first column of the first row; None if there is none."""
    row = conn.execute(query, values).fetchone()
    return row[0] if row else None


def _defaults() -> dict[str, Any]:
    """Defaults for libpq that neither the URL, the environment nor a service sets."""
    said = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults() if option.val is not None}
    return {name: value for name, value in DEFAULTS.items() if name not in said}
