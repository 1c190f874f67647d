"""A load that runs says so now and then: a standby, which sees no locks of the primary server, knows by that."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg

from pgpipe.db import Connection, Database, translated
from pgpipe.errors import PgpipeError

EVERY = 10.0  # seconds
LEFT_BEHIND = 1.0  # seconds that the end of a load waits for a sign that hangs
SAY = """
    update pgpipe.load load set alive_at = clock_timestamp()
     where load.load_id in (select held.load_id from pgpipe.load held
                             where held.schema = %s and held.entity = any (%s) and held.finished_at is null
                               for update skip locked)
"""


@contextmanager
def alive(database: Database, entities: Sequence[str]) -> Iterator[None]:
    """Say that the loads of these entities are alive, until they end.

    It needs a connection that is free, so one is opened once a load has lasted for a while. If the server has none, the
    load goes on without.
    """
    done = threading.Event()
    thread = threading.Thread(target=_say, args=(database, list(entities), done), name="alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(LEFT_BEHIND)


def _say(database: Database, entities: list[str], done: threading.Event) -> None:
    conn: Connection | None = None
    while not done.wait(EVERY):
        try:
            with translated():
                conn = conn or database.connect(autocommit=True)
                conn.execute(SAY, (database.schema, entities))
        except (PgpipeError, psycopg.Error):
            if conn is not None:
                conn.close()
            conn = None
    if conn is not None:
        conn.close()
