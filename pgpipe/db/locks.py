"""Locks that hold others up, such as a change of columns needs: asked for briefly, again and again, until one is given.

A session that waits for such a lock keeps all that come after it waiting too, readers included.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import psycopg

from pgpipe.db.connect import Connection
from pgpipe.db.errors import translated
from pgpipe.errors import DatabaseError
from pgpipe.log import get_logger

T = TypeVar("T")
log = get_logger(__name__)

ATTEMPT = "set local lock_timeout = '500ms'"
ANY_TIME = "set local lock_timeout = 0"
PAUSE = 0.5  # seconds between two attempts, in which others get through
TELL_EVERY = 30  # seconds
# Locks on the table, its partitions and its stores. Reading stands only in the way of the strongest lock.
HOLDER = """
    select held.pid, process.application_name, process.query_start
      from pg_catalog.pg_locks held
      join pg_catalog.pg_stat_activity process on process.pid = held.pid
      join pg_catalog.pg_database base on base.oid = held.database and base.datname = current_database()
     where held.granted and held.pid <> pg_backend_pid() and held.locktype = 'relation'
       and held.relation in (select %(table)s::oid
                              union all select part.relid from pg_catalog.pg_partition_tree(%(table)s::oid) part
                              union all select e.store from pgpipe.embedding e where e.target = %(table)s::oid)
     order by held.mode in ('AccessShareLock', 'RowShareLock'), process.xact_start
     limit 1
"""


@dataclass(frozen=True)
class Patience:
    """How long a lock is waited for."""

    seconds: float = 300  # in all; one attempt is made in any case
    tell: Callable[[str], None] = lambda _line: None  # takes a line for a waiting user


PATIENCE = Patience()


def briefly(conn: Connection, table: tuple[int, str], patience: Patience, change: Callable[[], T]) -> T:
    """Change a table in a transaction, or in a savepoint of the one that is open.

    Args:
        conn: on which `change` works.
        table: its oid, and its name for messages.
        patience: how long.
        change: called for each attempt; what it did is undone if it did not get a lock.

    Raises:
        DatabaseError: somebody held the table for longer; the message says who.
        PgpipeError: what `change` raises.
    """
    begun = time.monotonic()
    tell_at = begun
    while True:
        try:
            with translated(), conn.transaction():
                conn.execute(ATTEMPT)
                done = change()
                conn.execute(ANY_TIME)  # for what else the transaction around it does
                return done
        except DatabaseError as exc:
            if not _is_lock(exc):
                raise
        oid, name = table
        holder, now = _holder(conn, oid), time.monotonic()
        if now - begun >= patience.seconds:
            raise DatabaseError(
                f"{name} cannot be changed: {holder} has held it for longer than the {patience.seconds:g} s of"
                " load.lock_wait; end that session, raise the setting, or load again later"
            )
        if now >= tell_at:
            tell_at = now + TELL_EVERY
            log.warning("waiting for a lock", entity=name, holder=holder)
            patience.tell(f"{name} is to be changed, and waits for {holder}; others go on meanwhile")
        time.sleep(PAUSE * random.uniform(0.5, 1))  # noqa: S311 - spread, not secret


def _is_lock(exc: DatabaseError) -> bool:
    return isinstance(exc.__cause__, psycopg.errors.LockNotAvailable)


def _holder(conn: Connection, oid: int) -> str:
    with translated():
        found = conn.execute(HOLDER, {"table": oid}).fetchone()
    if found is None:
        return "another session"
    pid, application, since = found
    query = f", query of {since:%Y-%m-%d %H:%M:%S} UTC" if since else ""
    return f"process {pid} (application {application!r}{query})"
