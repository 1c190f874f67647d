"""The queue after a load: exactly the keys whose text is new or changed."""

from pathlib import Path

from pgpipe.db import Database
from tests.conftest import Cli, DocsLake, Lake
from tests.flow.support import fails, load, rows

CONFIG = """
[entity.function]
key = ["name"]
mode = "snapshot"
search = { columns = { summary = "A", doc = "B" } }
embed = { columns = ["summary", "doc"] }
"""
KEYS = "select key ->> 'name' from pgpipe.job"


def test_only_changed_texts_are_enqueued(cli: Cli, docs_lake: DocsLake, database: Database) -> None:
    """First every row; after the second date the rows that were inserted, updated or deleted."""
    Path("pgpipe.toml").write_text(CONFIG)
    changes = docs_lake.changes["function"]

    first = load(cli, docs_lake.url, "--date", "2026-01-01", "--entity", "function", embed=True)["function", "embed"]
    older = {name for (name,) in rows(database, "select name from function")}
    waiting = rows(database, KEYS)
    with database.connect(autocommit=True) as conn:
        conn.execute("delete from pgpipe.job")
        conn.execute("create temp table before as select name, summary, doc from function")
        second = load(cli, docs_lake.url, "--entity", "function", embed=True)["function", "embed"]
        differ = conn.execute(
            "select name from function f full join before b using (name)"
            " where (f.summary, f.doc) is distinct from (b.summary, b.doc)"
        ).fetchall()

    assert {name for (name,) in waiting} == older
    assert first["note"] == f"{len(older)} rows wait for `pgpipe embedder`"
    assert sorted(rows(database, KEYS)) == sorted(differ)
    assert len(differ) == changes.inserted + changes.updated + changes.deleted
    assert second["note"] == f"{len(differ)} rows wait for `pgpipe embedder`"


def test_a_column_that_is_no_input_enqueues_nothing(cli: Cli, lake: Lake, database: Database) -> None:
    """Also a new one, in the very load that adds it."""
    Path("pgpipe.toml").write_text("[entity.p]\nkey = ['id']\nembed = {columns = ['text']}\n")
    lake.put("2026-01-01", "p", [{"id": n, "text": "t", "size": 1} for n in range(4)])
    lake.put("2026-01-02", "p", [{"id": n, "text": "t", "size": n, "colour": "red"} for n in range(4)])
    load(cli, lake.url, "--date", "2026-01-01", embed=True)
    with database.connect(autocommit=True) as conn:
        conn.execute("delete from pgpipe.job")

    stage = load(cli, lake.url, embed=True)["p", "embed"]

    assert (stage["state"], stage["note"]) == ("nothing to do", "all vectors are fresh")
    assert rows(database, "select count(*) from pgpipe.job") == [(0,)]


def test_what_to_embed_is_chosen_from_the_data(cli: Cli, docs_lake: DocsLake, database: Database) -> None:
    """Where nothing is declared: prose, not names and numbers."""
    stages = load(cli, docs_lake.url, "--key", "name", "--entity", "function", embed=True)

    assert stages["function", "embed"]["state"] == "ok"
    assert rows(database, "select columns::text[] from pgpipe.embedding") == [(["summary", "doc"],)]


def test_embedding_may_be_switched_off(cli: Cli, docs_lake: DocsLake, database: Database) -> None:
    """In the configuration, or for a run."""
    Path("pgpipe.toml").write_text("[entity.function]\nkey = ['name']\nembed = false\nsearch = false\n")

    stages = load(cli, docs_lake.url, "--entity", "function", embed=True)

    assert [stages["function", s]["note"] for s in ("search", "embed")] == ["switched off"] * 2
    assert rows(database, "select to_regclass('function_embedding'), count(*) from pgpipe.job") == [(None, 0)]


def test_a_declared_column_that_is_not_there_is_named(cli: Cli, lake: Lake, database: Database) -> None:
    """The rows are loaded; what is wrong with the declaration is said."""
    Path("pgpipe.toml").write_text("[entity.p]\nkey = ['id']\nembed = {columns = ['txt']}\n")
    lake.put("2026-01-01", "p", [{"id": 1, "text": "some words of prose"}])

    fails(cli("load", "--source", lake.url, "--json"), 1, "p: ", "has no column txt", "It has id, text")

    assert rows(database, "select count(*) from p") == [(1,)]
