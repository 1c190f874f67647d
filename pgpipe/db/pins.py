"""Session settings that pgpipe depends on: pinned on each connection, whatever role, database or environment say.

docs/operating.md lists them with their reasons, and what is left to the user.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from psycopg.abc import Params
from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb

from pgpipe.errors import UsageError

Row = tuple[Any, ...]

LOOKS = 3  # a pooler in transaction mode with much traffic gives another server nearly each time

MEANING = {  # what a statement, a text or a value means
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "escape_string_warning": "on",
    "quote_all_identifiers": "off",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "xmloption": "content",
    "xmlbinary": "base64",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "session_replication_role": "origin",
    "row_security": "on",
    "gin_fuzzy_search_limit": "0",
    "check_function_bodies": "on",
    "client_min_messages": "notice",
    "exit_on_error": "off",
}
COST = {"jit": "off"}  # a statement of pgpipe's is short: to compile it takes longer than to run it
WAITS = {  # a connection may wait for its turn: for a model, for other connections of its load
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
}
WORK = {  # a load, a migration or a batch takes as long as it takes
    "statement_timeout": "0",
    "lock_timeout": "0",
    "transaction_timeout": "0",
}
# Names are written in full: the role's search_path may begin with a schema that others write. A setting that this
# server does not know gives NULL. Only a superuser may set session_replication_role. If the server's own configuration
# says read only, its disk is nearly full as a rule: managed services do that, and a load must not fill the rest.
PIN = """
    select pg_catalog.pg_backend_pid(), pg_catalog.current_setting('session_replication_role'),
           array(select array[pin.key, pg_catalog.set_config(pin.key, pin.value, pg_catalog.pg_backend_pid()
                                                             operator(pg_catalog.<>) %(server)s::int)]
                   from pg_catalog.jsonb_each_text(%(pins)s) as pin
                  where case when (pg_catalog.current_setting(pin.key, true) operator(pg_catalog.<>) pin.value)
                                  is not true then false
                             when pin.key operator(pg_catalog.=) 'session_replication_role'
                             then pg_catalog.current_setting('is_superuser') operator(pg_catalog.=) 'on'
                             when pin.key operator(pg_catalog.=) 'default_transaction_read_only'
                             then not pg_catalog.pg_is_in_recovery()
                                  and not exists (select from pg_catalog.pg_settings as known
                                                   where known.name operator(pg_catalog.=) pin.key
                                                     and known.source in ('configuration file', 'command line'))
                             else true end)
"""
EACH_TRANSACTION = 0  # the pid of no server: what is set then is set for the transaction
SESSION = None


class Pinned(psycopg.Connection[Row]):
    """A connection whose settings hold, also through a pooler that gives each transaction another server.

    There they are set in each transaction. A statement that allows no transaction around it is executed by a cursor of
    psycopg's own class.
    """

    settings: dict[str, str] | None = None  # what each transaction begins with; None if the session has it

    def pin(self, settings: dict[str, str]) -> bool:
        """Set what differs, in one round trip. Returns whether a pooler stands between us and the server.

        The server that answers then has another process id than the one that the login named. What was set held for
        that statement alone, so that nobody else of the pool meets it.

        Raises:
            UsageError: triggers are switched off for this role, and it may not switch them on.
        """
        named = self.info.backend_pid
        answered, changed = self._set(settings, named)
        if answered == named:
            return False
        self.settings, self.cursor_factory = settings, _Cursor
        self.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        self.deferrable = False
        if "default_transaction_read_only" in changed:
            self.read_only = False
        return True

    def pin_session(self, settings: dict[str, str]) -> None:
        """Set what differs for the session: the pooler keeps us on one server."""
        self.settings, self.cursor_factory = None, psycopg.Cursor
        self.isolation_level = self.deferrable = self.read_only = None
        self._set(settings, SESSION)

    def pin_transaction(self) -> None:
        """Set what differs for the transaction, which begins with it."""
        if self.settings is not None:
            self._set(self.settings, EACH_TRANSACTION)

    def _set(self, settings: dict[str, str], server: int | None) -> tuple[int, set[str]]:
        found = psycopg.Cursor(self).execute(PIN, {"pins": Jsonb(settings), "server": server}).fetchone()
        assert found is not None
        answered, triggers, changed = found
        names = {name for name, _ in changed}
        if triggers == "replica" and "session_replication_role" not in names:
            raise UsageError(
                f"session_replication_role is 'replica' for the role {self.info.user}, so no trigger fires and pgpipe"
                " would miss changes; as a superuser: alter role … reset session_replication_role"
            )
        return answered, names

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[psycopg.Transaction]:
        """As psycopg's; the outermost begins with the settings."""
        outermost = self.info.transaction_status == TransactionStatus.IDLE
        with super().transaction(savepoint_name, force_rollback) as transaction:
            if outermost:
                self.pin_transaction()
            yield transaction


class _Cursor(psycopg.Cursor[Any]):
    """A cursor that sees to it that the settings hold for whatever it executes."""

    def execute(
        self,
        query: Any,  # noqa: ANN401 - which types psycopg takes depends on its version
        params: Params | None = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> Self:
        """As psycopg's, in a new transaction if none is open."""
        conn = self.connection
        assert isinstance(conn, Pinned)
        if conn.info.transaction_status == TransactionStatus.IDLE:
            if conn.autocommit:
                with conn.transaction():
                    return super().execute(query, params, prepare=prepare, binary=binary)
            conn.pin_transaction()
        return super().execute(query, params, prepare=prepare, binary=binary)


def one_server_each(conn: psycopg.Connection[Row], other: psycopg.Connection[Row]) -> bool:
    """Whether a pooler gives two open connections two servers, as it does in session mode.

    Each is asked twice in a row too: a pooler may give its servers out in turn.
    """
    seen = {(asked is conn, _server(asked)) for asked in (conn, conn, other, other) * LOOKS}
    return len(seen) == len({server for _, server in seen}) == len((conn, other))


def _server(conn: psycopg.Connection[Row]) -> int:
    found = psycopg.Cursor(conn).execute("select pg_catalog.pg_backend_pid()").fetchone()
    assert found is not None
    return int(found[0])
