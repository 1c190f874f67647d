"""A PostgreSQL without pgvector: everything but vectors works, and vectors say in one line what is missing."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from pgpipe.db import Database
from tests.conftest import Cli, DocsLake, Server
from tests.flow.support import fails, load, rows

CONFIG = """
[entity.function]
key = ["name"]
mode = "snapshot"
search = { columns = { name = "A", summary = "A", doc = "B" } }
embed = { columns = ["summary", "doc"] }
"""
MISSING = "vectors need the extension pgvector, which this database lacks"


@pytest.fixture
def fresh(server15: Server) -> Iterator[str]:
    """An empty database without pgvector."""
    name = f"fresh_{uuid.uuid4().hex[:8]}"
    server15.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    yield server15.at(name)
    server15.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def test_migrate_says_what_waits(plain_cli: Cli, fresh: str) -> None:
    """It succeeds, twice, and each time tells how to get vectors."""
    first, second = (plain_cli("--database", fresh, "migrate") for _ in range(2))

    assert (first.code, second.code) == (0, 0)
    assert "applied 0001_schema" in first.out
    assert second.out == "The schema is up to date.\n"
    for result in (first, second):
        assert result.err.startswith("pgvector is not installed in this database: keyword search works")
        assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize("configured", [True, False])
def test_a_load_works(plain_cli: Cli, docs_lake: DocsLake, plain_database: Database, configured: bool) -> None:
    """Both dates, also with an embedding configured: that stage is skipped and says why; the exit code is 0."""
    if configured:
        Path("pgpipe.toml").write_text(CONFIG)
    options = ("--entity", "function", "--key", "name", "--mode", "snapshot")
    load(plain_cli, docs_lake.url, "--date", "2026-01-01", *options, embed=True)

    stages = load(plain_cli, docs_lake.url, *options, embed=True)

    changes = docs_lake.changes["function"]
    assert stages["function", "import"]["updated"] == changes.updated
    assert stages["function", "search"]["state"] == "ok"
    assert stages["function", "embed"]["state"] == "skipped"
    assert stages["function", "embed"]["note"].startswith(MISSING)
    assert rows(plain_database, "select count(*) from function") == [(changes.rows,)]


def test_run_works(plain_cli: Cli, docs_lake: DocsLake) -> None:
    """Without a model being loaded."""
    result = plain_cli("run", "--source", docs_lake.url, "--entity", "module", "--key", "name", "--json")

    assert (result.code, result.err) == (0, "")


def test_text_search_works(plain_cli: Cli, docs_lake: DocsLake) -> None:
    """It is the default where there are no vectors; the other modes say what is missing."""
    Path("pgpipe.toml").write_text(CONFIG)
    load(plain_cli, docs_lake.url, "--entity", "function", embed=True)

    default = plain_cli("search", "how do I insert an item into a sorted list", "-k", "3", "--json")
    text = plain_cli("search", "how do I insert an item into a sorted list", "-k", "3", "--mode", "text", "--json")

    assert (default.code, default.err) == (0, "")
    assert default.out == text.out
    assert json.loads(text.out)[0]["key"]["name"].startswith("bisect.insort")
    for mode in ("vector", "hybrid"):
        line = fails(plain_cli("search", "a question", "--mode", mode), 2)
        assert line == "pgpipe: public.function has no embedding, so it can be searched in mode text only"


def test_the_embedder_says_what_is_missing(plain_cli: Cli) -> None:
    """And what to do about it."""
    for options, code in ((["--drain"], 2), ([], 78)):
        fails(plain_cli("embedder", *options), code, MISSING, "create extension vector")
