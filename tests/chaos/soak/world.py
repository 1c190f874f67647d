"""What all parts of the soak share: the server, the seed, when to rest, what was counted and what was violated."""

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from pgpipe import errors
from pgpipe.db import Connection, Database
from pgpipe.schema import migrate
from pgpipe.settings.model import DatabaseSettings
from tests.fixtures.servers import Server, start_wheel
from tests.sql.alterations import FIRST, PARTS, SETUP, SPARE

WRITERS = 3
# What a writer may meet: the connection is lost, another writer is in the way, or his own statement does not fit.
LOST = (psycopg.OperationalError, psycopg.InterfaceError, errors.Unreachable)
TABLES = """
    create table note (writer int, number int, body text, mark text, primary key (writer, number));
    create table step (writer int primary key, number int not null);
    insert into step select n, 0 from generate_series(0, 2) n;
    select pgpipe.enable_embedding('note', '{body}', 'chaos', 3);
    select pgpipe.enable_embedding('note', '{mark,body}', 'chaos', 3, name => 'green');
    select pgpipe.enable_embedding('doc', '{title,loud,mood}', 'chaos', 3, condition => 'size >= 0')
"""


class World:
    """One soak. Its parts choose by the seed; what comes of a choice depends on the moment."""

    def __init__(self, server: Server, database: Database, folder: Path, seed: int) -> None:
        self.server, self.database, self.folder, self.seed = server, database, folder, seed
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self.over = threading.Event()
        self._calm = threading.Event()
        self._lock = threading.Lock()

    def random(self, name: str) -> random.Random:
        """The choices of one part."""
        return random.Random(f"{self.seed} {name}")

    def count(self, what: str, times: int = 1) -> None:
        """One more of these happened."""
        with self._lock:
            self.counts[what] += times

    def violated(self, what: str) -> None:
        """An invariant did not hold."""
        with self._lock:
            self.violations.append(f"after {sum(self.counts.values())} events: {what}")
        sys.stderr.write(f"violation: {what}\n")

    def pause(self, seconds: float) -> None:
        """Wait so long, and on while there is a lull."""
        self.over.wait(seconds)
        while self._calm.is_set() and not self.over.is_set():
            time.sleep(0.05)

    @contextmanager
    def lull(self) -> Iterator[None]:
        """Nobody writes meanwhile, so that embedders can finish."""
        self._calm.set()
        try:
            yield
        finally:
            self._calm.clear()

    def connect(self) -> Connection:
        """A connection, as soon as the server answers; nobody terminates its backend by name."""
        while True:
            try:
                conn = self.database.connect(autocommit=True)
                conn.execute("set application_name = 'soak'; set lock_timeout = '5s'")
            except LOST:
                time.sleep(0.1)
            else:
                return conn

    def part(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """A thread whose every fault is a violation."""

        def run() -> None:
            try:
                work()
            except BaseException as exc:  # noqa: BLE001 - whatever it is, it must show
                self.violated(f"{name} ended: {type(exc).__name__}: {exc}")

        thread = threading.Thread(target=run, name=name)
        thread.start()
        return thread


@contextmanager
def world(seed: int, folder: Path) -> Iterator[World]:
    """A server of its own with the tables that are written by SQL."""
    with contextmanager(start_wheel)(18) as server:
        server.create("soak")
        server.execute(sql.SQL("alter database soak set synchronous_commit = on"))  # a restart loses no commit
        database = Database(DatabaseSettings(url=server.at("soak")))
        migrate(database)
        with database.connect(autocommit=True) as conn:
            for statement in (SETUP.format("partition by range (id)"), PARTS, SPARE, TABLES, FIRST):
                conn.execute(statement.encode())
        yield World(server, database, folder, seed)
