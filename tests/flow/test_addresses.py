"""V28: two schemas with a table of one name, and tables outside `database.schema`: every command keeps them apart."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

import pgpipe
from pgpipe.db import Database
from pgpipe.metrics import DatabaseMetrics
from pgpipe.settings.model import DatabaseSettings, Settings
from pgpipe.web.queries import overview
from tests.chaos.embedders import install
from tests.conftest import Cli, Lake, Result
from tests.flow.support import fails, rows
from tests.sql.fake_model import Fake, make_worker, refuse
from tests.web.conftest import serving
from tests.web.support import columns, get

# name of the table, its id, its word; what pgpipe calls it with database.schema = public
TABLES = [("public.product", 1, "okapi"), ("shop.product", 2, "heron"), ("shop.stock", 3, "lemur")]
LABELS = ["product", "shop.product", "shop.stock"]
DOTTED = ('shop."a.b"', 4, "gibbon")


@pytest.fixture
def ready(database: Database, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The three tables and one with a dot in its name, searched and embedded, with a load each; nothing is drained."""
    folder = tmp_path / "packages"
    folder.mkdir()
    install(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PGPIPE_EMBEDDING__BACKEND", "chaos")
    monkeypatch.setenv("PGPIPE_EMBEDDING__MODELS", '["*"]')
    with database.connect() as conn:
        conn.execute("create schema shop")
        for name, number, word in [*TABLES, DOTTED]:
            conn.execute(f"create table {name} (id int primary key, title text)".encode())
            conn.execute(f"insert into {name} values ({number}, '{word}')".encode())
            conn.execute("select pgpipe.enable_search(%s::regclass, '{title=>A}')", (name,))
            conn.execute("select pgpipe.enable_embedding(%s::regclass, '{title}', 'chaos', 3)", (name,))
            schema, _, entity = name.partition(".")
            conn.execute(
                "insert into pgpipe.load (schema, entity, date, mode, started_at, finished_at, read, inserted)"
                " values (%s, %s, '2026-01-02', 'upsert', now() - interval '1 hour', now(), %s, %s)",
                (schema, entity.strip('"'), number, number),
            )
    return cli


def read(result: Result) -> Any:
    """What a command printed as JSON."""
    assert result.code == 0, result
    return json.loads(result.out)


def jobs(database: Database) -> list[str]:
    """The tables that have jobs, with their schemas."""
    return [name for (name,) in rows(database, "select distinct e.target::text from pgpipe.job join pgpipe.embedding e"
                                               " using (embedding_id) order by 1")]  # fmt: skip


def test_search(ready: Cli, database: Database) -> None:
    """A name of `database.schema`, schema.name, quoted or not, by the command and in Python; others are one line."""
    settings = Settings(database=DatabaseSettings(url=database.url))
    for (_, number, word), label in zip(TABLES, LABELS, strict=True):
        (hit,) = read(ready("search", word, "--entity", label, "--mode", "text", "--json"))
        assert hit["key"] == {"id": number}
        assert [h.key for h in pgpipe.search(word, label, "text", settings=settings)] == [{"id": number}]
    for name in ('shop."a.b"', '"shop"."a.b"', "shop.a.b"):
        assert len(read(ready("search", "gibbon", "--entity", name, "--mode", "text", "--json"))) == 1
    assert len(read(ready("search", "lemur", "--entity", "stock", "--mode", "text", "--json"))) == 1
    fails(ready("search", "x", "--entity", "public.stock"), 2, "unknown entity 'public.stock'; searchable are")
    fails(ready("search", "x"), 2, "which entity? give --entity; searchable are", *LABELS, 'shop."a.b"')


def test_the_settings_say_whose_name_it_is(ready: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another `database.schema` the same names mean the other tables, and are shown so."""
    monkeypatch.setenv("PGPIPE_DATABASE__SCHEMA", "shop")

    assert len(read(ready("search", "heron", "--entity", "product", "--mode", "text", "--json"))) == 1
    assert len(read(ready("search", "okapi", "--entity", "public.product", "--mode", "text", "--json"))) == 1
    assert {e["entity"] for e in read(ready("embedding", "list", "--json"))} == {
        "public.product", "product", "stock", '"a.b"',
    }  # fmt: skip


def test_status_and_lists(ready: Cli, database: Database) -> None:
    """Each table has rows of its own, by the name that commands take."""
    with database.connect() as conn:
        conn.execute("update pgpipe.job set dead_at = now(), visible_at = 'infinity', last_error = 'x'")
    status = read(ready("status", "--json"))
    listed = read(ready("embedding", "list", "--json"))
    failed = read(ready("jobs", "list", "--json"))
    expected = sorted([*LABELS, 'shop."a.b"'])

    assert sorted(e["entity"] for e in status["embeddings"]) == expected
    assert [(x["entity"], x["read"]) for x in status["loads"] if x["entity"] in LABELS] == [
        ("product", 1), ("shop.product", 2), ("shop.stock", 3),
    ]  # fmt: skip
    assert sorted(s["entity"] for s in status["load_rows_per_second"]) == expected
    assert sorted(e["entity"] for e in listed) == expected
    assert sorted(j["entity"] for j in failed) == expected
    assert "shop.product" in ready("status").out


def test_jobs(ready: Cli, database: Database) -> None:
    """Retry and drop touch the jobs of the named table alone; an unknown name is one line, not zero jobs."""
    with database.connect() as conn:
        conn.execute("update pgpipe.job set dead_at = now(), visible_at = 'infinity', last_error = 'x'")

    assert ready("jobs", "retry", "--entity", "product").out == "1 jobs wait again.\n"
    assert ready("jobs", "drop", "--entity", "shop.product", "--yes").out == "1 jobs dropped.\n"

    alive = "select e.target::text from pgpipe.job join pgpipe.embedding e using (embedding_id) where dead_at is null"
    assert rows(database, alive) == [("product",)]
    assert jobs(database) == ["product", 'shop."a.b"', "shop.stock"]
    fails(ready("jobs", "retry", "--entity", "prodcut"), 2, "the table public.prodcut does not exist", *LABELS)


def test_embeddings(ready: Cli, database: Database) -> None:
    """Add, switch, pause, resume, drift and drop act on the one that is named."""
    paused = "select target::text from pgpipe.embedding where paused_at is not null"
    assert ready("embedding", "pause", "shop.product").code == 0
    assert rows(database, paused) == [("shop.product",)]
    assert ready("embedding", "resume", "shop.product").code == 0

    added = ready("embedding", "add", "shop.stock", "--name", "next", "--model", "other")
    assert added.code == 0, added
    assert ready("embedder", "--drain").code == 0
    assert ready("embedding", "switch", "shop.stock", "next").code == 0
    assert [d["name"] for d in read(ready("embedding", "drift", "shop.stock", "--json"))] == ["next", "default"]
    assert ready("embedding", "drop", "shop.stock", "default", "--yes").code == 0
    assert ready("embedding", "drop", "product", "default", "--yes", "--force").code == 0

    assert rows(database, "select target::text, name from pgpipe.embedding order by 1") == [
        ('shop."a.b"', "default"), ("shop.product", "default"), ("shop.stock", "next"),
    ]  # fmt: skip
    fails(ready("embedding", "pause", "public.stock"), 2, "the table public.stock does not exist; known are")


def test_reconcile(ready: Cli, database: Database) -> None:
    """Only the rows of the named tables are compared; a table without embedding is named."""
    with database.connect() as conn:
        conn.execute("delete from pgpipe.job; create table public.plain (id int)")

    found = read(ready("reconcile", "--entity", "shop.product", "--entity", "stock", "--json"))

    assert [(r["entity"], r["enqueued"]) for r in found] == [("shop.product", 1), ("shop.stock", 1)]
    assert jobs(database) == ["shop.product", "shop.stock"]
    fails(ready("reconcile", "--entity", "plain"), 2, "no embedding of plain; there are", *LABELS)


def test_fill_search(ready: Cli, database: Database) -> None:
    """The named table's column is filled, the other's is not."""
    with database.connect() as conn:
        for name in ("product", "shop.product"):
            conn.execute("select pgpipe.alter_search(%s::regclass, '{title=>B}')", (name,))

    filled = ready("fill-search", "--entity", "shop.product")

    assert filled.out == "shop.product: filled, and serves\n", filled
    assert rows(database, "select target::text from pgpipe.search_fill") == [("product",)]
    assert ready("fill-search", "--entity", "shop.stock").out == "The search column of shop.stock is filled.\n"
    fails(ready("fill-search", "--entity", "shop.nothing"), 2, "the table shop.nothing does not exist")
    assert ready("fill-search").out == "product: filled, and serves\n"


def test_a_run_works_off_its_own_jobs(
    ready: Cli, lake: Lake, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run loads, embeds and counts the rows of `database.schema`; the table of that name elsewhere is left alone."""
    assert ready("embedder", "--drain").code == 0
    with database.connect() as conn:
        conn.execute("update product set title = 'x'; update shop.product set title = 'x'")
    monkeypatch.setenv("PGPIPE_DATABASE__SCHEMA", "shop")
    lake.put("2026-01-03", "product", [{"id": 7, "title": "ibis"}])

    result = ready("run", "--source", lake.url, "--entity", "product", "--accept", "older", "--json")

    embedded = {s["stage"]: s["embedded"] for s in json.loads(result.out)["stages"]}
    assert (result.code, embedded["embed"]) == (0, 2), result
    assert jobs(database) == ["product"]


@pytest.mark.usefixtures("ready")
def test_logs_of_the_embedder(database: Database, logged: list[dict]) -> None:
    """Its lines name each table with its schema."""
    make_worker(database, Fake(refuse("heron")), name="chaos").drain()

    assert [entry["entity"] for entry in logged if entry["event"] == "jobs failed"] == ["shop.product"]


@pytest.mark.usefixtures("ready")
def test_metrics(database: Database) -> None:
    """Every series has the schema beside the entity, of the queue as of the worker."""
    registry = CollectorRegistry()
    registry.register(DatabaseMetrics(database))
    waiting = {"entity": "product", "embedding": "default", "state": "waiting"}
    assert [registry.get_sample_value("pgpipe_jobs", waiting | {"schema": s}) for s in ("public", "shop")] == [1, 1]
    assert [
        registry.get_sample_value("pgpipe_last_load_rows", {"schema": s, "entity": "product", "kind": "read"})
        for s in ("public", "shop")
    ] == [1, 2]

    totals = make_worker(database, Fake(), name="chaos").drain()

    tables = [("public", "product"), ("shop", "product"), ("shop", "stock"), ("shop", "a.b")]
    assert totals.embedded == dict.fromkeys(tables, 1)


@pytest.mark.usefixtures("ready")
def test_the_page(database: Database) -> None:
    """A card for each table with its own loads and queue; the form offers each, and answers are of the chosen one."""
    with database.connect() as conn:
        conn.execute("delete from pgpipe.job j using pgpipe.embedding e where e.embedding_id = j.embedding_id"
                     " and e.target = 'shop.product'::regclass")  # fmt: skip
        found = overview(conn, "public").entities
    assert {name: [x["read"] for x in found[name].loads] for name in LABELS} == {
        "product": [1], "shop.product": [2], "shop.stock": [3],
    }  # fmt: skip
    assert [found[name].embeddings[0]["waiting"] for name in LABELS] == [1, 0, 1]

    with serving(database) as url:
        shown = get(url).text
        assert sorted(re.findall(r'<h3 id="entity-\d+">(\S+)', shown)) == sorted([*LABELS, "shop.&#34;a.b&#34;"])
        for (_, number, word), label in zip(TABLES, LABELS, strict=True):
            answer = get(url, q=word, entity=label)
            assert f"<option selected>{label}</option>" in answer.text
            assert re.search(rf"<h3>[^<]+ · {number}</h3>", columns(answer)["text"])
        for option in re.findall(r"<option ?(?:selected)?>([^<]*a\.b[^<]*)</option>", shown):
            assert "gibbon" in get(url, q="gibbon", entity=option.replace("&#34;", '"')).text
        unknown = get(url, "/api/search", q="x", entity="public.stock")
        assert (unknown.status_code, "unknown entity 'public.stock'" in unknown.text) == (400, True)
        status = get(url, "/api/status").json()["entities"]
        assert sorted(entity["entity"] for entity in status) == sorted([*LABELS, 'shop."a.b"'])


def test_ambiguous_names(ready: Cli, database: Database) -> None:
    """In two other schemas: one line names both. A dot is that after a schema, if there is such a table."""
    with database.connect() as conn:
        conn.execute("create schema hr; create table hr.stock (id int primary key, title text)")
        conn.execute("""create table public."shop.stock" (id int primary key, title text)""")
        for name in ("hr.stock", '"shop.stock"'):
            conn.execute("select pgpipe.enable_embedding(%s::regclass, '{title}', 'chaos', 3)", (name,))
    paused = "select target::text from pgpipe.embedding where paused_at is not null"

    fails(ready("embedding", "pause", "stock"), 2, "the name 'stock' is ambiguous: write hr.stock or shop.stock")
    assert ready("embedding", "pause", "shop.stock").code == 0
    assert rows(database, paused) == [("shop.stock",)]
    assert ready("embedding", "resume", "shop.stock").code == ready("embedding", "pause", '"shop.stock"').code == 0
    assert rows(database, paused) == [('"shop.stock"',)]
