"""Connections: read-only servers, keepalives, poolers, and a server that speaks another language."""

import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from pgpipe.api import search
from pgpipe.db import Database, one, translated
from pgpipe.embed.queue import embeddings
from pgpipe.embed.reconcile import reconcile
from pgpipe.errors import DatabaseError, UsageError
from pgpipe.settings.model import DatabaseSettings, Settings
from tests.chaos.test_embedder_connections import pgbouncer
from tests.conftest import Guarded, Lake, Server, make_cli, start_debian
from tests.flow.support import fails
from tests.flow.test_settings_of_a_role import KEPT, SETTINGS, Nights, nights, ordinary, role, set_for, two_nights
from tests.sql.fake_model import Fake, make_worker
from tests.sql.support import eventually

__all__ = ["nights", "ordinary", "two_nights"]  # fixtures


def test_a_server_that_says_read_only(server16: Server) -> None:
    """L2: what the server's configuration says holds, as services set it on a full disk; writing is refused."""
    set_only = sql.SQL("alter system set default_transaction_read_only = {}")
    with role(server16) as (url, _):
        server16.execute(set_only.format(sql.SQL("on")))
        server16.execute(sql.SQL("select pg_reload_conf()"))
        try:
            database = Database(DatabaseSettings(url=url))
            eventually(lambda: _shows(database, "default_transaction_read_only") == "on")
            with (
                database.connect() as conn,
                pytest.raises(DatabaseError, match=r"read-only: .* disk is full"),
                translated(),
            ):
                conn.execute("create table t ()")
        finally:
            with psycopg.connect(server16.url, autocommit=True, options="-c default_transaction_read_only=off") as conn:
                conn.execute("alter system reset default_transaction_read_only")
                conn.execute("select pg_reload_conf()")


def _shows(database: Database, setting: str) -> str:
    with database.connect() as conn:
        found = conn.execute(sql.SQL("show {}").format(sql.Identifier(setting))).fetchone()
    assert found is not None
    return str(found[0])


def test_keepalives(guarded: Guarded) -> None:
    """L16: a silent TCP connection shows life within a minute, unless URL or service say otherwise."""
    with role_of(guarded) as url:
        assert keepalives(url) == [1, 60, 10, 6]
        assert keepalives(f"{url} keepalives_idle=7 keepalives_count=2") == [1, 7, 10, 2]
        assert keepalives(f"{url} keepalives=0")[0] == 0


@contextmanager
def role_of(guarded: Guarded) -> Iterator[str]:
    """The one role that logs in there by TCP without a password."""
    with psycopg.connect(guarded.superuser, autocommit=True) as conn:
        conn.execute("create role plain login")
        yield f"{guarded.url} user=plain dbname=postgres"
        conn.execute("drop role plain")


def keepalives(url: str) -> list[int]:
    """What the socket of a connection says."""
    with (
        Database(DatabaseSettings(url=url)).connect() as conn,
        socket.socket(fileno=os.dup(conn.fileno())) as twin,
    ):
        chosen = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT]
        return [
            twin.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            *(twin.getsockopt(socket.IPPROTO_TCP, option) for option in chosen),
        ]


def test_behind_a_pooler_in_transaction_mode(
    server18: Server, nights: Nights, two_nights: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L15: what locks for a session is refused; embedder, search and reconcile are right, and leave nothing."""
    with role(server18) as (url, _):
        expected = nights(url)
        direct = Database(DatabaseSettings(url=url))
        with direct.connect(autocommit=True) as conn:
            conn.execute("update public.product set text = 'a woollen coat, naïve 日本 ' || id where id < 10")
        set_for(server18, "database", str(conninfo_to_dict(url)["dbname"]), SETTINGS | KEPT)
        with pgbouncer(direct, pool=2) as through:
            cli = make_cli(through, tmp_path, monkeypatch)
            commands = ("load", "--source", two_nights.url), ("migrate",), ("fill-search",)
            for command in commands:
                fails(cli(*command), 2, "pooler in transaction mode", "session mode")
            with traffic(through):
                fails(cli(*commands[0]), 2, "pooler in transaction mode")
            with direct.connect() as conn:
                assert one(conn, "select count(*) from pg_locks where locktype = 'advisory'") == 0
            pooled = Database(DatabaseSettings(url=through))
            worker = make_worker(pooled, Fake(), batch=4)
            assert worker.drain().embedded == {("public", "product"): 5}  # the seventh was rejected
            hits = search("woollen naïve", mode="text", k=50, settings=Settings(), database=pooled)
            assert {hit.key["id"] for hit in hits} > {4, 5, 6, 8, 9}
            assert hits == search("woollen naïve", mode="text", k=50, settings=Settings(), database=direct)
            with pooled.connect(autocommit=True) as conn:
                assert [reconcile(conn, embedding).enqueued for embedding in embeddings(conn)] == [0]
            assert cli("status", "--json").code == 0
            with psycopg.connect(through, autocommit=True) as plain:
                assert [plain.execute(f"show {name}").fetchone() for name in ("bytea_output", "xmlbinary")] == [
                    ("escape",),
                    ("hex",),
                ]
        assert expected["reconciled"]


def test_behind_a_pooler_that_gives_its_servers_in_turn(database: Database) -> None:
    """L15: two connections that get one server each, as if it were theirs, are looked at more closely."""
    with pgbouncer(database, pool=2, in_turn=True) as through:
        with psycopg.connect(through, autocommit=True) as first, psycopg.connect(through, autocommit=True) as second:
            pids = [one(conn, "select pg_backend_pid()") for conn in (first, second) * 3]
        assert (len(set(pids[::2])), len(set(pids[1::2]))) == (1, 1)
        with pytest.raises(UsageError, match="pooler in transaction mode"):
            Database(DatabaseSettings(url=through)).connect(session=True)


@contextmanager
def traffic(url: str) -> Iterator[None]:
    """Somebody else's transactions, some of which take a while."""
    done, begun = threading.Event(), threading.Event()

    def work() -> None:
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as conn:
            while not done.is_set():
                conn.execute("select pg_sleep(random() * 0.002)")
                begun.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert begun.wait(60)
        yield
    finally:
        done.set()
        thread.join()


def test_behind_a_pooler_in_session_mode(server18: Server, nights: Nights, ordinary: dict[str, object]) -> None:
    """L15: there a session is a session: everything runs, with the settings pinned."""
    with role(server18) as (url, _):
        set_for(server18, "database", str(conninfo_to_dict(url)["dbname"]), SETTINGS | KEPT)
        with pgbouncer(Database(DatabaseSettings(url=url)), pool=20, mode="session") as through:
            assert nights(through) == ordinary


@pytest.mark.long
def test_a_server_that_speaks_german(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L2: with lc_messages of another language, a missing schema and the place of a refused row are found."""
    subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", tmp_path / "de_DE.UTF-8"], check=True)
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if folder.is_relative_to(tempfile.gettempdir()) and folder != Path(tempfile.gettempdir()):
            folder.chmod(0o755)  # the server runs as another user
    monkeypatch.setenv("LOCPATH", str(tmp_path))
    with start_debian("-h ''", "-c lc_messages=de_DE.UTF-8") as folder:
        cli = make_cli(f"host={folder} user=postgres dbname=postgres", tmp_path, monkeypatch)
        lake.put("2026-01-01", "product", [{"id": n, "note": "{}" if n != 2 else "{"} for n in range(4)])
        arguments = ("load", "--source", lake.url, "--key", "id", "--skip-search", "--skip-embeddings", "--json")
        (tmp_path / "pgpipe.json").write_text('{"entity": {"product": {"types": {"note": "jsonb"}}}}')

        unmigrated = fails(cli(*arguments), 2, "existiert nicht", "pgpipe migrate")
        assert cli("migrate").code == 0
        refused = fails(cli(*arguments), 1, "row group 0, row 2, column 'note'")

    assert "Schema" in unmigrated
    assert "ungültig" in refused
