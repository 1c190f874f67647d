"""Databases that are not UTF8: right for what they can hold, or refused."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from pgpipe.api import search
from pgpipe.db import Database
from pgpipe.db.encoding import SINGLE_BYTE, as_ascii
from pgpipe.embed.queue import embeddings
from pgpipe.embed.reconcile import reconcile
from pgpipe.metrics import DatabaseMetrics
from pgpipe.schema import ROOT
from pgpipe.searching import asked
from pgpipe.settings.model import DatabaseSettings, Settings
from tests.conftest import Cli, Lake, Server, make_cli
from tests.flow.support import REJECTED, fails, load, rows, table
from tests.sql.fake_model import Fake, make_worker

HELD = "naïve café, façade"
TEXTS = [HELD, "日本 naïve", "plain ASCII", HELD + " again"]
ROWS = [
    {"id": n, "text": text, "words": [text, None], "nested": {"text": text, "number": n}}
    for n, text in enumerate(TEXTS, start=1)
]


@contextmanager
def database_in(server: Server, encoding: str) -> Iterator[Database]:
    """An empty database in an encoding."""
    name = f"e_{uuid.uuid4().hex[:12]}"
    make = sql.SQL("create database {} template template0 locale 'C' encoding {}")
    server.execute(make.format(sql.Identifier(name), sql.Literal(encoding)))
    yield Database(DatabaseSettings(url=server.at(name)))
    server.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def narrow(server18: Server, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database whose characters are of one byte."""
    with database_in(server18, getattr(request, "param", "LATIN1")) as database:
        yield database


@pytest.fixture
def narrow_cli(narrow: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line on it, migrated."""
    cli = make_cli(narrow.url, tmp_path, monkeypatch)
    assert cli("migrate").code == 0
    return cli


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "EUC_JP"])
def test_refused(server18: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """L2: where characters are not known, or not by their Unicode numbers, migrate makes nothing and says why."""
    with database_in(server18, encoding) as database:
        cli = make_cli(database.url, tmp_path, monkeypatch)
        fails(cli("migrate"), 2, f"the encoding of this database is {encoding}", "encoding 'UTF8'")
        assert rows(database, "select from pg_namespace where nspname like 'pgpipe%'") == []


@pytest.mark.parametrize("narrow", ["LATIN1", "WIN1252"], indirect=True)
def test_everything_that_it_can_hold(narrow: Database, narrow_cli: Cli, lake: Lake) -> None:
    """L2: load, vectors, searches, reconcile, status and metrics are right, and an absent character finds nothing."""
    held = [ROWS[0], *ROWS[2:]]
    lake.put("2026-01-01", "product", held)
    load(narrow_cli, lake.url, "--key", "id")
    with narrow.connect(autocommit=True) as conn:
        conn.execute("select pgpipe.enable_embedding('product', '{text}', 'fake', 3)")
        make_worker(narrow, Fake()).drain()
        assert [reconcile(conn, embedding).enqueued for embedding in embeddings(conn)] == [0]
        near = conn.execute("select key from pgpipe.vector_search('product', '[1,0,0]', 5)").fetchall()

    assert [(row["text"], row["words"], row["nested"]) for row in table(narrow, "product", "id").values()] == [
        (row["text"], row["words"], row["nested"]) for row in held
    ]
    assert len(near) == len(held)
    hits = search("naïve\u2019 日本", mode="text", settings=Settings(), database=narrow)
    assert {hit.key["id"] for hit in hits} == {1, 4}
    recording = {"database": {"url": narrow.url}, "asked": {"question": "words"}}
    assert search("日本", mode="text", settings=Settings.model_validate(recording)) == []
    asked.flush(60)
    assert rows(narrow, "select question from pgpipe.asked") == [("<U+65E5><U+672C>",)]
    assert json.loads(narrow_cli("status", "--json").out)
    assert {f.name: f for f in DatabaseMetrics(narrow).collect()}["pgpipe_up"].samples[0].value == 1


@pytest.mark.parametrize(
    ("policy", "left"),
    [("strip", " naïve"), ("null", None), ("reject", "-")],
)
def test_a_text_that_it_cannot_hold(
    narrow: Database, narrow_cli: Cli, lake: Lake, tmp_path: Path, policy: str, left: str | None
) -> None:
    """L2: such a text is a bad value, in columns, lists and JSON: the policy decides, and the rest is loaded."""
    lake.put("2026-01-01", "product", ROWS)
    bad = {"*": policy} | ({"words": "null"} if policy == "strip" else {})  # strip is for text
    settings = {"key": ["id"], "bad_values": bad, "max_rejected": 1, "search": False}
    (tmp_path / "pgpipe.json").write_text(json.dumps({"entity": {"product": settings}}))

    load(narrow_cli, lake.url)

    found = table(narrow, "product", "id")
    if policy == "reject":
        (told,) = rows(narrow, REJECTED)
        assert set(found) == {1, 3, 4}
        assert told[1:4] == (0, 1, "text")
        assert "U+65E5" in told[4]
        assert told[6]["text"] == "<U+65E5><U+672C> naïve"
    elif policy == "null":
        assert (found[2]["text"], found[2]["words"], found[2]["nested"]) == (None, None, None)
    else:
        assert (found[2]["text"], found[2]["words"]) == (left, None)
        assert found[2]["nested"] == {"text": left, "number": 2}
    assert found[4]["text"] == TEXTS[3]


@pytest.mark.parametrize("column", ["text", "words", "nested"])
def test_by_default_it_is_refused(narrow: Database, narrow_cli: Cli, lake: Lake, column: str) -> None:
    """L2: by name, with file, row group, row and column; the failure is written down."""
    lake.put("2026-01-01", "product", [{"id": row["id"], column: row[column]} for row in ROWS])
    result = narrow_cli("load", "--source", lake.url, "--key", "id", "--skip-search", "--skip-embeddings", "--json")
    fails(
        result, 1, "product/part-0.parquet, row group 0, row 1", f"column '{column}'", "has no equivalent in encoding"
    )
    ((said,),) = rows(narrow, "select error from pgpipe.load")
    assert "row group 0, row 1" in said


def test_what_python_takes_the_server_takes(server18: Server) -> None:
    """L2: an encoding holds for the server whatever it holds for Python, so a text that was checked is stored."""
    with psycopg.connect(server18.url, autocommit=True) as conn:
        for encoding, codec in SINGLE_BYTE.items():
            held = bytes(range(1, 256)).decode(codec, "ignore")
            conn.execute("select convert(%s, 'UTF8', %s)", (held.encode(), encoding))


def test_what_is_not_ascii_in_sql_is_prose() -> None:
    """L2: what migrate writes in ASCII for such a database are comments and messages; only typography is lost."""
    for file in [*(ROOT / "sql").rglob("*.sql"), *(ROOT / "migrations").glob("*.sql")]:
        for line in file.read_text(encoding="utf-8").splitlines():
            code = line.partition("--")[0]
            if not code.isascii():
                assert set(code) - set(map(chr, range(128))) <= set("…·ü"), (file, line)
                assert len(as_ascii(code)) >= len(code)
