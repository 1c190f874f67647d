"""Between the embedder and the database: PostgreSQL restarts, a proxy goes half-open, PgBouncer in transaction mode."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgpipe.db import Connection, Database
from tests.chaos.embedders import LONG, Embedders, check, count, keep_busy, populate, settled, until
from tests.conftest import Server, clone, start_wheel
from tests.fixtures.servers import let_in

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PORT = 6432  # names PgBouncer's socket, in a folder of its own
STORED = "select count(*) from doc_embedding"


@pytest.fixture
def look(database: Database) -> Iterator[Connection]:
    """A connection to watch from."""
    with database.connect(autocommit=True) as conn:
        yield conn


@contextmanager
def pgbouncer(database: Database, pool: int, mode: str = "transaction", *, in_turn: bool = False) -> Iterator[str]:
    """Debian's PgBouncer; yields the url through it. With `in_turn` it does not prefer the server used last."""
    if PGBOUNCER is None:
        if os.environ.get("CI"):
            pytest.fail("CI installs pgbouncer (Debian); it is missing")
        pytest.skip("Debian's pgbouncer is not installed")
    server = conninfo_to_dict(database.url)
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n* = host={server['host']} user=postgres\n[pgbouncer]\nlisten_addr =\nlisten_port = {PORT}\n"
        f"unix_socket_dir = {folder}\nauth_type = any\npool_mode = {mode}\n"
        f"server_round_robin = {int(in_turn)}\ndefault_pool_size = {pool}\nlogfile = {folder / 'log'}\npidfile =\n",
        encoding="utf-8",
    )
    owner = Path(str(server["host"])).owner()  # of the server's socket: nobody else may go there
    as_user = ["-u", owner] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(folder, owner)
        let_in(database, owner)
    process = subprocess.Popen([PGBOUNCER, *as_user, "-q", str(config)], stderr=subprocess.DEVNULL)
    try:
        until((folder / f".s.PGSQL.{PORT}").exists)
        yield make_conninfo("", host=str(folder), port=PORT, user="postgres", dbname=str(server["dbname"]))
    finally:
        process.terminate()
        process.wait(120)
        shutil.rmtree(folder, ignore_errors=True)


def test_through_pgbouncer_in_transaction_mode(database: Database, look: Connection, tmp_path: Path) -> None:
    """Three embedders share two server connections, many batches each: every row ends right."""
    populate(database, 1500)
    with pgbouncer(database, pool=2) as url:
        embedders = Embedders(tmp_path, url)
        try:
            for _ in range(3):
                embedders.start("--batch", "32", slow=0.01)

            def all_had_a_turn() -> bool:
                keep_busy(look)
                return count(look, "select count(distinct worker) from pgpipe.finished") == 3

            until(all_had_a_turn)
            until(lambda: settled(look))
        finally:
            embedders.stop()

    check(look)


class Proxy:
    """Passes bytes between a client and a server, until it is told to hold them back without closing anything."""

    def __init__(self, target: str) -> None:
        self._target = target  # a Unix socket
        self.open = threading.Event()
        self.open.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listener]
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                self._sockets += [client, server]
                server.connect(self._target)
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        frozen = not self.open.is_set()
        with suppress(OSError):
            while data := one.recv(65536):
                if not self.open.is_set() or frozen:
                    frozen = True  # what met the fault stays lost; connections made after it are whole
                    continue
                other.sendall(data)
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def test_a_proxy_that_goes_half_open(database: Database, look: Connection, tmp_path: Path) -> None:
    """The peer's kernel answers, the peer does not: after a lease the embedder cuts it and connects anew."""
    populate(database, 1500)
    server = conninfo_to_dict(database.url)
    proxy = Proxy(f"{server['host']}/.s.PGSQL.{server.get('port', 5432)}")
    url = make_conninfo("", host="127.0.0.1", port=proxy.port, user="postgres", dbname=str(server["dbname"]))
    embedders = Embedders(tmp_path, url)
    try:
        embedders.start("--batch", "32", slow=0.1, lease=1)
        until(lambda: count(look, STORED) > 0)
        proxy.open.clear()
        time.sleep(0.5)
        held = count(look, STORED)
        proxy.open.set()
        until(lambda: count(look, STORED) > held)
        until(lambda: settled(look))
    finally:
        embedders.stop()
        proxy.close()

    check(look)


def test_sigterm_while_the_database_is_silent(database: Database, look: Connection, tmp_path: Path) -> None:
    """K14: the embedder ends by itself, although no call of the database is answered, not even a new connection."""
    populate(database, 1500)
    server = conninfo_to_dict(database.url)
    proxy = Proxy(f"{server['host']}/.s.PGSQL.{server.get('port', 5432)}")
    url = make_conninfo("", host="127.0.0.1", port=proxy.port, user="postgres", dbname=str(server["dbname"]))
    embedders = Embedders(tmp_path, url)
    try:
        embedder = embedders.start("--batch", "32", slow=0.1, lease=3600)
        until(lambda: count(look, STORED) > 0)
        proxy.open.clear()
        embedder.terminate()
        said, _ = embedder.communicate(timeout=LONG)
    finally:
        embedders.stop()
        proxy.close()

    assert (embedder.returncode, "Traceback" in said) == (0, False), said


@pytest.fixture
def fragile() -> Iterator[Server]:
    """A server of the test's own, which it may crash."""
    yield from start_wheel(18)


@pytest.fixture
def fragile_database(fragile: Server) -> Iterator[Database]:
    """A migrated database on it."""
    yield from clone(fragile)


def test_postgres_crashes_and_recovers(fragile_database: Database, tmp_path: Path) -> None:
    """A crash in the midst of it ends every connection: the embedders wait, come back, and finish."""
    populate(fragile_database, 1500)
    embedders = Embedders(tmp_path, fragile_database.url)
    try:
        for _ in range(2):
            embedders.start("--batch", "32", slow=0.02)
        witness = fragile_database.connect(autocommit=True)
        until(lambda: count(witness, STORED) > 0)
        with fragile_database.connect(autocommit=True) as conn:
            os.kill(
                conn.info.backend_pid, signal.SIGKILL
            )  # the postmaster takes all others down, and recovers from the log
        until(lambda: _cut(witness))
        with _again(fragile_database) as conn:
            until(lambda: settled(conn))
            check(conn)
    finally:
        embedders.stop()


def _cut(conn: Connection) -> bool:
    """Whether the postmaster has ended this connection: from then on it refuses new ones until it has recovered."""
    try:
        conn.execute("select")
    except psycopg.OperationalError:
        return True
    return False


def _again(database: Database) -> Connection:
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        with suppress(Exception):
            return database.connect(autocommit=True)
        time.sleep(0.1)
    raise AssertionError("the server did not recover")
