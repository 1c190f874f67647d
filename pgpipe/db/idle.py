"""Keeping an idle connection awake: a proxy cuts what is silent, and does not see the keepalives of TCP."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from pgpipe.db.connect import Connection

PULSE = 1.0  # seconds between two questions; proxies are known that cut after ten


@contextmanager
def awake(conn: Connection) -> Iterator[None]:
    """Ask the connection something now and then, while nobody else uses it.

    One that is lost all the same is noticed by who uses it next.
    """
    done = threading.Event()

    def ask() -> None:
        try:
            while not done.wait(PULSE):
                conn.execute("select")
        except psycopg.Error:
            return

    thread = threading.Thread(target=ask, name="awake", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
