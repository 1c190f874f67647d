"""The connections of a load: one that is idle, fewer than wanted, and loads of one name into two schemas."""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgpipe.db import Database, Patience
from pgpipe.load.loader import Loader
from pgpipe.load.write.run import Counts
from pgpipe.settings.entity import EntitySettings
from pgpipe.settings.model import DatabaseSettings
from pgpipe.settings.source import SourceSettings
from pgpipe.source import open_source
from tests.conftest import Lake, Server, make_cli
from tests.flow.support import newest, rows
from tests.flow.test_settings_of_a_role import role

SILENCE = 1.5  # seconds after which the balancer cuts a connection
Sent = Callable[[int], None]


def load(database: Database, url: str, sent: Sent, tell: Callable[[str], None]) -> Counts:
    """A snapshot of the newest date over one connection and its own; `sent` is called with the rows of each batch."""
    source = open_source(SourceSettings(url=url))
    (files,) = newest(source)
    settings = EntitySettings.model_validate({"key": ["id"], "mode": "snapshot"})
    return Loader(database, source, 1, Patience(tell=tell)).load(files, settings, lambda *_: None, lambda _: sent)[1]


class Balancer:
    """A proxy that cuts a connection on which nobody has said anything for a while, as balancers do."""

    def __init__(self, target: str) -> None:
        self._target = target  # a Unix socket
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.cut = 0  # how many were
        self.longest = 0.0  # seconds that one lasted
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        begun = time.monotonic()
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(self._target)
            to = {client: server, server: client}
            while ready := select.select([client, server], [], [], SILENCE)[0]:
                for side in ready:
                    if not (said := side.recv(1 << 16)):
                        return
                    to[side].sendall(said)
                self.longest = max(self.longest, time.monotonic() - begun)
            self.cut += 1

    def close(self) -> None:
        self._listener.close()


@contextmanager
def balancer(url: str) -> Iterator[tuple[str, Balancer]]:
    """A balancer before the server of a database, and the url through it."""
    info = conninfo_to_dict(url)
    made = Balancer(f"{info['host']}/.s.PGSQL.{info.get('port', 5432)}")
    try:
        yield make_conninfo(url, host="127.0.0.1", port=made.port), made
    finally:
        made.close()


def test_a_balancer_cuts_what_is_silent(database: Database, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """L16: a load whose copying takes longer than a balancer bears silence copies once: no connection is silent."""
    lake.put("2026-01-01", "product", [{"id": n, "text": "x" * 1_200_000} for n in range(14)], row_group_size=1)
    monkeypatch.setattr("pgpipe.db.idle.PULSE", SILENCE / 10)
    said: list[str] = []
    with balancer(database.url) as (url, between):
        through = Database(DatabaseSettings(url=url))
        counts = load(through, lake.url, lambda _rows: time.sleep(SILENCE / 10), said.append)

    assert between.longest > SILENCE
    assert (between.cut, said) == (0, [])
    assert counts.inserted == 14


@pytest.mark.parametrize(("mode", "limit"), [("upsert", 3), ("upsert", 1), ("append", 3)])
def test_fewer_connections_than_wanted(
    server18: Server, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, limit: int
) -> None:
    """K19: a load copies over the connections that it gets, in the end over its own, and says so in one line."""
    for n in range(4):
        lake.put("2026-01-01", "product", [{"id": 10 * n + i, "text": "x"} for i in range(10)], f"{n}.parquet")
    monkeypatch.setattr("pgpipe.load.write.append.COMMIT_BYTES", 1)
    with role(server18) as (url, name):
        limited = "alter role {name} nosuperuser connection limit {limit}", "grant postgres to {name}"
        cli = make_cli(url, tmp_path, monkeypatch)
        options = ("--mode", mode, "--jobs", "4", "--skip-search", "--skip-embeddings", "--json")
        key = ("--key", "id") if mode == "upsert" else ()
        lake.put("2025-12-31", "product", [{"id": -1, "text": "x"}])
        assert cli("load", "--source", lake.url, "--date", "2025-12-31", *options, *key).code == 0
        for statement in limited:
            server18.execute(sql.SQL(statement).format(name=sql.Identifier(name), limit=sql.Literal(limit)))

        result = cli("load", "--source", lake.url, *options, *key)

        said = [line for line in result.err.splitlines() if "copied over" in line]
        assert result.code == 0, result
        assert len(said) == 1
        assert f"product is copied over {max(limit - 1, 1)} of 4 connections: " in said[0]
        assert f'too many connections for role "{name}"' in said[0]
        server18.execute(sql.SQL("alter role {} superuser connection limit -1").format(sql.Identifier(name)))
        found = rows(
            Database(DatabaseSettings(url=url)), "select count(*), count(distinct id) from product where id >= 0"
        )
        assert found == [(40, 40)]


PARTS = """
    select class.relname from pg_class class where class.relnamespace = %(schema)s::regnamespace
     union all
    select conname from pg_constraint where conrelid = format('%%I.product', %(schema)s::text)::regclass order by 1
"""


def test_loads_of_one_name_into_two_schemas(database: Database, tmp_path: Path) -> None:
    """Each has a lock and a staging table of its own: one runs from begin to end within the other; nothing mixes."""
    lakes = {name: Lake(tmp_path / name) for name in "ab"}
    of = {name: Database(DatabaseSettings(url=database.url, db_schema=name)) for name in "ab"}
    with database.connect(autocommit=True) as conn:
        conn.execute("create schema a; create schema b")

    def refuse(line: str) -> None:
        raise AssertionError(line)

    for date, word in (("2026-01-01", "first"), ("2026-01-02", "second")):
        for name, lake in lakes.items():
            lake.put(date, "product", [{"id": n, "text": f"{name} {word}"} for n in range(3)])
        inner: list[Counts] = []

        def within(_rows: int, done: list[Counts] = inner) -> None:
            done.append(load(of["b"], lakes["b"].url, lambda _rows: None, refuse))

        outer = load(of["a"], lakes["a"].url, within, refuse)

        assert [(c.read, c.inserted, c.updated) for c in (outer, *inner)] == [
            (3, 3, 0) if word == "first" else (3, 0, 3)
        ] * 2
        for name in "ab":
            assert rows(database, f"select distinct text from {name}.product") == [(f"{name} {word}",)]
    with database.connect() as conn:
        parts = [conn.execute(PARTS, {"schema": name}).fetchall() for name in "ab"]
    assert parts[0] == parts[1]
    assert {("product",), ("product_pkey",)} <= set(parts[0])
    assert not [name for (name,) in parts[0] if "a." in name]
    assert rows(database, "select count(*) from pgpipe.load where error is not null") == [(0,)]
