"""Searches, status and the page are answered by a standby, before it is promoted, meanwhile, and afterwards."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgpipe import errors
from pgpipe.api import search
from pgpipe.db import Database, retry
from pgpipe.pipeline.run import Pipeline
from pgpipe.settings.model import DatabaseSettings, Settings
from pgpipe.web.queries import overview, reading
from tests.conftest import Lake, Server, make_cli
from tests.fixtures.servers import standby, start_wheel
from tests.flow.support import rows
from tests.sql.fake_model import Fake, make_worker
from tests.sql.support import eventually, value

WAITS = "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like %s)"
PAGE = """
    create table page (id int primary key, title text);
    insert into page values (1, 'okapi');
    select pgpipe.enable_search('page', '{title=>A}')
"""


def hosts(name: str, servers: Sequence[Server], **options: str) -> str:
    """One connection string with several servers."""
    found = [conninfo_to_dict(server.url) for server in servers]
    listed = {key: ",".join(str(each[key]) for each in found) for key in ("host", "port")}
    return make_conninfo(user="postgres", dbname=name, **listed, **options)


def replayed(primary: Server, copy: Server) -> None:
    """Wait until the standby has what the primary has written so far."""
    with psycopg.connect(primary.url) as one, psycopg.connect(copy.url, autocommit=True) as other:
        written = value(one, "select pg_current_wal_lsn()::text")
        eventually(lambda: value(other, "select pg_last_wal_replay_lsn() >= %s::pg_lsn", written))


def test_questions_go_to_a_standby(
    server18: Server, database: Database, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With database.read_url, search, status and the page ask the standby; loads go to the primary meanwhile."""
    lake.put("2026-01-01", "product", [{"id": 1, "text": "some words"}])
    name = str(conninfo_to_dict(database.url)["dbname"])
    with database.connect(autocommit=True) as conn:
        conn.execute(PAGE)
    with standby(server18) as copy:
        both = hosts(name, [server18, copy], target_session_attrs="prefer-standby")
        monkeypatch.setenv("PGPIPE_DATABASE__READ_URL", both)
        cli = make_cli(database.url, tmp_path, monkeypatch)
        load = cli("load", "--source", lake.url, "--skip-search", "--skip-embeddings", "--mode", "append")
        assert (load.code, rows(database, "select count(*) from product")) == (0, [(1,)])
        replayed(server18, copy)

        def asked(word: str) -> tuple[bool, bool]:
            found = cli("search", word, "--entity", "page", "--mode", "text").out
            return word in found, "product" in cli("status").out

        assert asked("okapi") == (True, True)
        with reading(Database(DatabaseSettings(url=both))) as conn:  # as the page does
            assert "page" in overview(conn, "public").entities
        with psycopg.connect(copy.at(name), autocommit=True) as other:
            other.execute("select pg_promote()")
            other.execute("insert into page values (2, 'giraffe')")  # only there: the two go apart
        assert cli("--database", database.url, "search", "giraffe", "--entity", "page", "--mode", "text").out == ""
        monkeypatch.setenv("PGPIPE_DATABASE__READ_URL", hosts(name, [copy, server18]))
        assert asked("giraffe") == (True, True)
    assert asked("okapi") == (True, True)  # the first host is gone


@contextmanager
def running(work: Callable[[], object]) -> Iterator[list[BaseException]]:
    """Something in a thread; joined at the end. What it raised is in the list."""
    failed: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001 - the test looks at it
            failed.append(exc)

    thread = threading.Thread(target=guarded)
    thread.start()
    yield failed
    thread.join(120)
    assert not thread.is_alive()


def promoted(lake: Lake, name: str, both: Sequence[Server]) -> Settings:
    """Three dates to load on the primary; searches ask a standby."""
    for number in range(3):
        some = [{"id": n, "text": f"okapi {number} {n}"} for n in range(number * 200, number * 200 + 400)]
        lake.put(f"2026-01-0{number + 1}", "product", some)
    return Settings.model_validate(
        {
            "source": {"url": lake.url},
            "database": {
                "url": hosts(name, both, target_session_attrs="read-write"),
                "read_url": hosts(name, both, target_session_attrs="prefer-standby"),
            },
            "entity": {"product": {"key": ["id"], "search": {"columns": {"text": "A"}}, "embed": False}},
        }
    )


def fail_over(primary: Server, copy: Server) -> None:
    """The primary dies, and the standby takes its place."""
    os.kill(int((primary.folder / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
    with psycopg.connect(copy.url, autocommit=True) as other:
        assert value(other, "select pg_promote()")


def complete(copy: Server, name: str) -> None:
    """Every row, file and vector is there once."""
    ours = Database(DatabaseSettings(url=copy.at(name)))
    days = [("2026-01-01",), ("2026-01-02",), ("2026-01-03",)]
    assert rows(ours, "select count(*), min(id), max(id) from product") == [(800, 0, 799)]
    assert rows(ours, "select date::text from pgpipe.load_file order by 1") == days
    assert rows(ours, "select count(*), count(distinct id) from product_embedding") == [(800, 800)]
    assert rows(ours, "select count(*) from pgpipe.job") == [(0,)]


@pytest.mark.long
def test_a_promotion(lake: Lake) -> None:
    """The primary dies amid a load, a drain and searches, and a standby is promoted: nothing is lost or doubled.

    Searches go on. The load and the drain are begun again.
    """
    with contextmanager(start_wheel)(18) as primary, standby(primary) as copy:
        name = primary.template
        settings = promoted(lake, name, [primary, copy])
        database = Database(settings.database)
        Pipeline(settings, database=database).run("2026-01-01")
        with database.connect(autocommit=True) as conn:
            conn.execute("select pgpipe.enable_embedding('product', '{text}', 'fake', 3)")
        replayed(primary, copy)
        encoding, released, over = threading.Event(), threading.Event(), threading.Event()
        hits: list[int] = []

        def hold(_texts: list[str]) -> None:
            encoding.set()
            released.wait(60)

        def drain() -> None:
            retry(make_worker(database, Fake(hold), batch=50).drain, "the drain", kinds=(errors.Unreachable,))

        def ask() -> None:
            while not over.is_set():
                hits.append(len(search("okapi", "product", mode="text", settings=settings)))

        holder = psycopg.connect(primary.at(name))  # whose end is that of its server
        with running(ask) as searches, running(drain) as drains:
            encoding.wait(60)
            holder.execute("lock table product in share mode")
            with running(lambda: Pipeline(settings, database=database).run("2026-01-02..2026-01-03")) as loads:
                with psycopg.connect(primary.url, autocommit=True) as look:
                    eventually(lambda: value(look, WAITS, "%pgpipe_internal.merge%"))
                fail_over(primary, copy)
                released.set()
            asked = len(hits)
            eventually(lambda: len(hits) > asked)
            over.set()
        holder.close()
        assert (searches, drains, loads, set(hits)) == ([], [], [], {10})
        make_worker(database, Fake()).drain()
        complete(copy, name)
