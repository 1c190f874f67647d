"""Counting words for searches while an embedder is idle: rows that no load brought count, too."""

import time

from pgpipe import errors
from pgpipe.db import Connection
from pgpipe.embed.backoff import Backoff
from pgpipe.embed.step import step
from pgpipe.log import get_logger

LOOK = 2.0  # seconds between looks for a table that has grown or shrunk
STALE = "select target::oid::bigint, target::text from pgpipe_internal.stale_searches() stale (target)"
REFRESH = "select pgpipe_internal.refresh_stale_search(%s::oid::regclass)"
COUNTING = "counting words"
log = get_logger(__name__)


class Words:
    """The tables whose words one worker counts. One that cannot be counted is said once, and left alone for a while."""

    def __init__(self) -> None:
        self._backoff = Backoff()
        self._said: set[tuple[int, str]] = set()
        self._looked = -LOOK

    def refresh(self, conn: Connection) -> None:
        """Count the words again of every target that has grown or shrunk by a tenth; if none has, it costs a look.

        Raises:
            Unreachable: the database went away.
        """
        for target, name in self._stale(conn):
            if not self._backoff.left(target):
                self._refresh(conn, target, name)

    def _stale(self, conn: Connection) -> list[tuple[int, str]]:
        if self._backoff.left(0) or time.monotonic() - self._looked < LOOK:
            return []
        self._looked = time.monotonic()
        try:
            with step(COUNTING):
                return [(target, name) for target, name in conn.execute(STALE)]
        except errors.PgpipeError as exc:
            self._met(conn, 0, "any table", exc)
            return []

    def _refresh(self, conn: Connection, target: int, name: str) -> None:
        try:
            with step(COUNTING):
                conn.execute(REFRESH, (target,))
            self._backoff.end(target)
        except errors.PgpipeError as exc:
            self._met(conn, target, name, exc)

    def _met(self, conn: Connection, target: int, name: str, exc: errors.PgpipeError) -> None:
        self._backoff.begin(target)
        if conn.closed:
            raise exc
        if (target, str(exc)) not in self._said:
            self._said.add((target, str(exc)))
            log.warning("words are not counted", target=name, error=str(exc))
