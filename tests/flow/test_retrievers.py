"""Search in other programs: MCP with the package's own client, LangChain and LlamaIndex with the real packages."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import pgpipe
from pgpipe import errors
from pgpipe.db import Database
from pgpipe.db.pool import async_pool, fetch
from pgpipe.settings.model import DatabaseSettings, Settings
from tests.conftest import Cli
from tests.sql.support import in_a_loop
from tests.web.conftest import fill


@pytest.fixture
def settings(database: Database) -> Settings:
    """Three docs, searchable by words."""
    fill(database)
    return Settings(database=DatabaseSettings(url=database.url))


@pytest.fixture
def searcher(settings: Settings) -> Iterator[pgpipe.Searcher]:
    with pgpipe.Searcher(settings=settings) as made:
        yield made


# What takes seconds to import is imported by the tests that use it: each worker imports each file of tests.


def client_of(settings: Settings) -> Any:
    """A client of the server, which runs in this process."""
    import mcp

    from pgpipe.mcp_server import create_server

    return mcp.Client(create_server(settings))


def ask(settings: Settings, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
    """What a client gets of these tools: their results, or the line of the error."""

    async def run() -> list[Any]:
        async with client_of(settings) as client:
            answers = [await client.call_tool(name, arguments) for name, arguments in calls]
        return [a.content[0].text if a.is_error else (a.structured_content or {}) for a in answers]

    return in_a_loop(run())


def test_tools_of_mcp(settings: Settings) -> None:
    """Describe names the table, its columns and modes; search and facets answer; nothing is marked up."""
    described, found, filtered, alike, counted = ask(
        settings,
        ("describe", {}),
        ("search", {"query": "waterproof jacket", "mode": "text", "k": 1}),
        ("search", {"query": "jacket", "mode": "text", "filter": {"size": {"gt": 10}}, "with_row": True}),
        ("similar", {"key": {"id": 1}, "k": 1, "filter": {"size": {"lt": 100}}}),
        ("facets", {"query": "jacket", "columns": ["size"]}),
    )

    (table,) = described["result"]
    assert (table["entity"], table["modes"]) == ("doc", ["hybrid", "text", "vector"])
    assert {"name": "title", "type": "text", "searched": True} in table["columns"]
    assert [(hit["key"], hit["title"], hit["passage"]) for hit in found["result"]] == [
        ({"id": 1}, "Rain jacket", "Rain jacket\nA waterproof jacket for cycling")
    ]
    assert [(hit["key"], hit["row"]["size"]) for hit in filtered["result"]] == [({"id": 2}, 20)]
    assert [hit["key"] for hit in alike["result"]] == [{"id": 2}]
    assert counted["total"] == {"rows": 2, "exact": True}


def test_errors_of_mcp(settings: Settings) -> None:
    """One line that says what is wrong, and the server goes on."""
    unknown, filtered, empty, good = ask(
        settings,
        ("search", {"query": "x", "entity": "nothing", "mode": "text"}),
        ("search", {"query": "x", "mode": "text", "filter": {"colour": 1}}),
        ("search", {"query": "x", "k": 5000}),
        ("search", {"query": "tent", "mode": "text"}),
    )

    assert "unknown entity 'nothing'; searchable are doc" in unknown
    assert "colour" in filtered
    assert "50" in empty
    assert good["result"][0]["key"] == {"id": 3}


def test_mcp_cannot_write(settings: Settings, database: Database) -> None:
    """Its connections refuse a write, even one by a function of the database; the tools say that they only read."""
    with database.connect(autocommit=True) as conn:
        conn.execute("create function size_of() returns int language sql as 'update doc set size = 0 returning 1'")
        conn.execute("create view writing as select size_of() as size")

    async def run() -> tuple[list[Any], str]:
        async with client_of(settings) as client:
            tools = (await client.list_tools()).tools
        async with async_pool(database, 1, read_only=True) as pool, pool.connection() as conn:
            try:
                await conn.execute("select * from writing")
            except psycopg.Error as exc:
                return tools, str(exc)
        return tools, "it wrote"

    tools, refused = in_a_loop(run())
    assert {tool.name for tool in tools} == {"describe", "search", "similar", "facets"}
    assert all(tool.annotations.read_only_hint and tool.description for tool in tools)
    assert "cannot execute UPDATE in a read-only transaction" in refused


def test_mcp_cannot_write_behind_a_pooler(database: Database) -> None:
    """Where each transaction has another server, each begins as one that only reads."""

    async def run() -> None:
        async with async_pool(database, 1, read_only=True) as pool, pool.connection() as conn:
            await conn.execute("set default_transaction_read_only = off")  # as on another server
            conn.pooled = True
            await fetch(conn, "create table written ()", {}, dict)

    with pytest.raises(errors.DatabaseError, match="read-only transaction"):
        in_a_loop(run())


def test_a_database_on_the_command_line_is_the_one(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for `mcp` and `serve`, whatever serve.url says."""
    monkeypatch.setenv("PGPIPE_SERVE__URL", "postgresql://other/elsewhere")

    shown = json.loads(cli("--database", "postgresql://one/here", "config", "show", "--json").out)

    found = {setting["name"]: setting["value"] for setting in shown}
    assert (found["database.url"], found["serve.url"]) == ("postgresql://one/here", None)


def test_the_command_speaks_the_protocol(settings: Settings, tmp_path: Path) -> None:
    """`pgpipe mcp` on standard input and output, as the program of a language model starts it."""
    import mcp

    server = mcp.StdioServerParameters(
        command=sys.executable,
        args=["-m", "pgpipe", "mcp"],
        cwd=tmp_path,
        env={"DATABASE_URL": settings.database.url or "", "PYTHONPATH": str(Path(__file__).parents[2])},
    )

    async def run() -> Any:  # the answer of a tool
        async with mcp.Client(server) as client:
            return await client.call_tool("search", {"query": "tent", "mode": "text"})

    assert in_a_loop(run()).structured_content["result"][0]["key"] == {"id": 3}


def test_langchain(searcher: pgpipe.Searcher, settings: Settings) -> None:
    """Documents with the passage as their text, and key, title and score; sync and async are equal."""
    from pgpipe.retrievers.langchain import PgpipeRetriever

    retriever = PgpipeRetriever(searcher=searcher, entity="doc", mode="text", k=2, filter={"size": {"lt": 100}})

    found = retriever.invoke("waterproof jacket")

    assert [(d.metadata["key"], d.page_content) for d in found] == [
        ({"id": 1}, "Rain jacket\nA waterproof jacket for cycling"),
        ({"id": 2}, "Wool hat\nWarm, but no jacket"),
    ]
    assert (found[0].metadata["title"], "row" in found[0].metadata) == ("Rain jacket", False)
    assert in_a_loop(retriever.ainvoke("waterproof jacket")) == found

    async def run() -> list[Any]:
        async with pgpipe.AsyncSearcher(settings=settings) as asked:
            rows = retriever.model_copy(update={"async_searcher": asked, "options": {"row": True}})
            return await rows.ainvoke("waterproof jacket")

    assert in_a_loop(run())[0].metadata["row"]["size"] == 10


def test_llama_index(searcher: pgpipe.Searcher, settings: Settings) -> None:
    """Nodes with the passage as their text, a score, and an id that is the row's key."""
    from llama_index.core.schema import QueryBundle

    from pgpipe.retrievers.llama_index import PgpipeRetriever

    retriever = PgpipeRetriever(searcher, "doc", "text", 2)

    found = retriever.retrieve("waterproof jacket")

    assert [(n.node.text, n.node.metadata["key"]) for n in found] == [
        ("Rain jacket\nA waterproof jacket for cycling", {"id": 1}),
        ("Wool hat\nWarm, but no jacket", {"id": 2}),
    ]
    assert found[0].node.id_ == 'doc{"id": 1}'
    assert found[0].score > found[1].score

    async def run() -> list[Any]:
        async with pgpipe.AsyncSearcher(settings=settings) as asked:
            asking = PgpipeRetriever(searcher, "doc", "text", 1, async_searcher=asked)
            return await asking.aretrieve(QueryBundle("tent"))

    assert [n.node.id_ for n in in_a_loop(run())] == ['doc{"id": 3}']


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [
        ("pgpipe.retrievers.langchain", "langchain_core", "langchain"),
        ("pgpipe.retrievers.llama_index", "llama_index", "llama-index"),
    ],
)
def test_what_is_missing_is_said(module: str, library: str, extra: str) -> None:
    """Without its library a retriever says in one line how to install it."""
    code = f"import sys; sys.modules[{library!r}] = None; import {module}"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stderr.rstrip().splitlines()[-1].startswith("pgpipe.errors.UsageError: the retriever for ")
    assert f"pip install 'pgpipe-search[{extra}]'" in done.stderr


def test_mcp_without_its_package(tmp_path: Path) -> None:
    """The command says how to install it."""
    code = "import sys; sys.modules['mcp.server'] = None; from pgpipe.cli import main; sys.argv[1:] = ['mcp']; main()"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)

    assert done.returncode == 2
    assert "pip install 'pgpipe-search[mcp]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
