"""Searchers, as an application uses them: threads, event loops, pools, forks, and a server that cuts connections."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool

import pgpipe
from pgpipe import errors
from pgpipe.api import vectors
from pgpipe.db import Database
from pgpipe.settings.model import EmbeddingSettings, Settings
from tests.flow.test_readme import block
from tests.sql.fake_model import Fake, make_worker
from tests.sql.support import column, embed, in_a_loop, make_docs

PAGE = "docs/applications.md"
SHOP = """
    create table product (id int primary key, title text, description text, brand text);
    insert into product select n, 'Jacket ' || n, 'waterproof, for cycling', case when n % 2 = 0 then 'x' else 'y' end
      from generate_series(1, 8) n;
    create table stock (product_id int primary key, units int);
    insert into stock values (2, 0), (3, 5), (4, 7);
    select pgpipe.enable_search('product', '{title=>A, description=>B}');
"""


@pytest.fixture
def settings(database: Database, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a database with four docs that have vectors of the model `fake`."""
    with database.connect(autocommit=True) as conn:
        make_docs(conn, 4)
        conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
        embed(conn)
        make_worker(database, Fake()).drain()
    monkeypatch.setattr(vectors, "models", vectors.Loader(lambda _: Fake()))
    return Settings.model_validate({"database": {"url": database.url}, "embedding": {"model": "fake"}})


@pytest.fixture
def searcher(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[pgpipe.Searcher]:
    """A searcher whose model is fake."""
    monkeypatch.setattr("pgpipe.api.searcher.models", vectors.models)
    with pgpipe.Searcher(settings=settings, size=3) as made:
        yield made


def ids(hits: list[pgpipe.Hit]) -> list[int]:
    """Whose they are."""
    return [hit.key["id"] for hit in hits]


def test_threads_share_a_searcher(searcher: pgpipe.Searcher, settings: Settings, database: Database) -> None:
    """Each gets its own answer, all modes work, and no more connections are open than the pool may have."""
    searcher.warm_up()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda n: ids(searcher.search(f"title {n % 4 + 1}", mode="text")), range(24)))

    assert [first[0] for first in found] == [n % 4 + 1 for n in range(24)]
    assert searcher.search("title 2")[0] == pgpipe.search("title 2", settings=settings)[0]
    assert searcher.search("title 2")[0].vector_rank is not None  # hybrid is the default, because there are vectors
    vector = searcher.embed_query("title 2", "doc")
    assert searcher.search("x", "doc", "vector", vector=vector) == searcher.search("title 2", "doc", "vector")
    assert vector == pgpipe.embed_query("title 2", settings=settings)
    assert searcher.facets("title", ["size"]) == pgpipe.facets("title", ["size"], settings=settings)
    with database.connect() as conn:
        assert column(conn, "select count(*) from pg_stat_activity where datname = current_database()")[0] <= 4


def test_tables_that_change(searcher: pgpipe.Searcher, database: Database) -> None:
    """The list of tables is kept for a moment; a question for one that was made or replaced meanwhile is answered."""
    assert len(searcher.search("title", "doc", "text")) == 4
    with database.connect(autocommit=True) as conn:
        conn.execute("drop table doc cascade; create table doc (id int primary key, title text)")
        conn.execute("insert into doc values (9, 'title'); create table other (like doc including all)")
        conn.execute(
            "select pgpipe.enable_search(name, '{title=>A}') from (values ('doc'::regclass), ('other')) t (name)"
        )

    assert ids(searcher.search("title", "doc")) == [9]
    assert searcher.search("title", "other") == []


def test_a_server_that_cuts_connections(searcher: pgpipe.Searcher, database: Database) -> None:
    """Whoever asks next notices nothing; a database that is gone is said at once, and not after the pool's patience."""
    searcher.search("title", mode="text")
    with database.connect(autocommit=True) as conn:
        conn.execute("""select pg_terminate_backend(pid) from pg_stat_activity
                         where datname = current_database() and pid <> pg_backend_pid()""")

    assert len(searcher.search("title", mode="text")) == 4

    gone = Settings.model_validate({"database": {"url": "host=127.0.0.1 port=1"}})
    with pgpipe.Searcher(settings=gone) as nobody, pytest.raises(errors.Unreachable, match="does not answer"):
        nobody.search("title")


def test_a_filter_is_looked_at_first(searcher: pgpipe.Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong name, value or mode is refused before a model is loaded or asked, in every way to ask."""
    monkeypatch.setattr(searcher, "_vectors", lambda *_: pytest.fail("the model was asked"))

    for where, line in (
        ({"nope": 1}, "nope"),
        ({"size": "many"}, "invalid input syntax for type integer"),
        ({"size": b""}, "not valid JSON"),
    ):
        with pytest.raises(errors.PgpipeError, match=line):
            searcher.search("title", mode="vector", filter=where)
    with pytest.raises(errors.UsageError, match="unknown mode 'fuzzy'"):
        searcher.search("title", mode="fuzzy")  # type: ignore[arg-type]


def test_a_question_that_fails_is_asked_once(searcher: pgpipe.Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the tables are others than before: a server that is too slow is not asked again."""
    searcher.search("title", mode="text")
    asked: list[str] = []
    fetch = searcher._fetch
    monkeypatch.setattr(searcher, "_fetch", lambda statement: asked.append(statement.sql) or fetch(statement))

    with pytest.raises(errors.PgpipeError, match="nope"):
        searcher.search("title", mode="text", filter={"nope": 1})
    with pytest.raises(errors.UsageError, match="a vector is of the model of one entity"):
        searcher.search("title", ["doc", "other"], vector=[1.0, 0.0, 0.0])

    assert sum("text_search" in sql for sql in asked) == 1


def test_pools_of_ones_own(settings: Settings, database: Database) -> None:
    """Their sessions are used as they are, and stay open; one that has no free connection is said to."""

    async def asked() -> list[int]:
        async with (
            AsyncConnectionPool(database.url, open=False) as pool,
            pgpipe.AsyncSearcher(pool, settings=settings) as searcher,
        ):
            return ids(await searcher.search("title 3", mode="text", k=1))

    with ConnectionPool(database.url, min_size=1, max_size=1, timeout=0.2) as pool:
        with pgpipe.Searcher(pool, settings=settings) as searcher:
            assert ids(searcher.search("title 3", mode="text", k=1)) == [3]
            with pool.connection(), pytest.raises(errors.Unreachable, match="no connection of the pool became free"):
                searcher.search("title", mode="text")
            searcher.after_fork()  # as in a child: the pool's threads are not there
            with pytest.raises(errors.UsageError, match="before this process was forked"):
                searcher.search("title", mode="text")
        assert not pool.closed
    assert in_a_loop(asked()) == [3]


def test_an_event_loop(settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many questions at once, in every mode, with the model in threads; a lost connection is replaced."""
    monkeypatch.setattr("pgpipe.api.searcher.models", vectors.models)

    async def asked() -> None:
        async with pgpipe.AsyncSearcher(settings=settings, size=2) as searcher:
            await searcher.warm_up("doc")
            found = await asyncio.gather(*(searcher.search(f"title {n}", "doc", "text") for n in (1, 2, 3, 4)))
            assert [ids(hits)[0] for hits in found] == [1, 2, 3, 4]
            assert await searcher.search("title 2") == pgpipe.search("title 2", settings=settings)
            assert await searcher.facets("title", ["size"]) == pgpipe.facets("title", ["size"], settings=settings)
            assert await searcher.embed_query("title 2") == pgpipe.embed_query("title 2", settings=settings)
            with psycopg.connect(database.url, autocommit=True) as conn:
                conn.execute("""select pg_terminate_backend(pid) from pg_stat_activity
                                 where datname = current_database() and pid <> pg_backend_pid()""")
            assert len(await searcher.search("title", mode="text")) == 4

    in_a_loop(asked())


def test_a_model_is_loaded_once() -> None:
    """V10: by one of eight threads that ask at once; a failure is told to all, and tried again by who asks later."""
    loads: list[EmbeddingSettings] = []
    begun, go = threading.Event(), threading.Event()

    def load(settings: EmbeddingSettings) -> Any:
        loads.append(settings)
        begun.set()
        go.wait(60)
        if len(loads) == 1:
            raise errors.ModelError("not there yet")
        return Fake()

    loader, wanted = vectors.Loader(load), EmbeddingSettings(model="fake")
    with pytest.raises(vectors.ModelLoading, match="is being loaded"):
        loader(wanted, wait=False)
    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(loader, wanted) for _ in range(8)]
        begun.wait(60)
        go.set()
        failed = [future.exception() for future in waiting]

    assert {str(exc) for exc in failed} <= {"not there yet", "None"}
    assert str(failed[0]) == "not there yet"
    models = {id(loader(wanted)) for _ in range(8)}
    assert (len(models), len(loads)) == (1, 2)


FORKED = """
import os, signal, sys, threading
from pgpipe.api import vectors
from pgpipe.embed.model import bert
from pgpipe.settings.model import EmbeddingSettings

wanted, ask = EmbeddingSettings(), lambda: vectors.models(wanted).encode_query(["a question"])[0]
if sys.argv[1:] == ["torch"]:
    from pgpipe.embed.model.base import load_model
    vectors.models._load = load_model
answers = []
threads = [threading.Thread(target=lambda: answers.append(ask())) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(answers) == 8, answers
child = os.fork()
if child == 0:
    signal.alarm(60)
    os._exit(0 if abs(ask() - answers[0]).max() < 1e-4 else 1)
assert os.waitpid(child, 0)[1] == 0, "the child hung or answered otherwise"
assert ("torch" in sys.modules) == (sys.argv[1:] == ["torch"])
"""


@pytest.mark.model
@pytest.mark.parametrize("backend", ["", pytest.param("torch", marks=pytest.mark.long)])
def test_eight_threads_and_a_forked_child(backend: str) -> None:
    """V10, V11: eight threads ask a real model at once and first; a child forked after that answers the same."""
    command = [sys.executable, "-W", "ignore", "-c", FORKED, *backend.split()]
    with_threads = os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=with_threads)

    assert done.returncode == 0, done.stderr


@pytest.fixture
def shop(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Products that are searched, and what is in stock."""
    with database.connect(autocommit=True) as conn:
        conn.execute(SHOP.encode())
    monkeypatch.setenv("DATABASE_URL", database.url)
    return database


@pytest.mark.usefixtures("shop")
def test_the_page_of_threads(capsys: pytest.CaptureFixture[str]) -> None:
    """The first example of the page, as it stands there."""
    exec(block("python", "pgpipe.Searcher()", PAGE), {})

    assert capsys.readouterr().out.count("{'id': ") == 4  # those of brand x


@pytest.mark.usefixtures("shop")
def test_the_page_of_fastapi() -> None:
    """The application of the page answers; a filter is applied, and bad input is refused."""
    made: dict[str, Any] = {"__name__": "application"}
    exec(block("python", "FastAPI(", PAGE), made)

    async def asked() -> list[httpx.Response]:
        transport = httpx.ASGITransport(made["app"])
        async with (
            made["lifespan"](made["app"]),
            httpx.AsyncClient(transport=transport, base_url="http://app") as client,
        ):
            return [
                await client.get("/search", params={"q": "waterproof jacket"} | more)
                for more in ({"brand": "x"}, {"k": 0}, {"brand": "a\0b"})
            ]

    found, *refused = in_a_loop(asked())
    assert {hit["key"]["id"] for hit in found.json()} == {2, 4, 6, 8}  # of brand x
    assert [response.status_code for response in refused] == [422, 400]


def test_the_page_of_sqlalchemy(shop: Database) -> None:
    """Hits are joined with another table, in the order of their scores."""
    made: dict[str, Any] = {"database_url": shop.url}
    exec(block("python", "def in_stock", PAGE), made)
    try:
        assert [(title, units) for title, units, _ in made["in_stock"]("jacket 4")] == [
            ("Jacket 4", 7),
            ("Jacket 3", 5),
        ]
    finally:
        made["engine"].dispose()
