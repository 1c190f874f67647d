"""The options of load, run and plan: --entity, --date, --dry-run, --json, and entities that fail."""

import json
from pathlib import Path

from pgpipe.db import Database
from tests.conftest import Cli, Lake
from tests.flow.support import counts, fails, load, rows, stages

ROWS = [{"id": n, "text": f"some words about thing number {n}"} for n in range(3)]
OBJECTS = """
    select (select count(*) from pg_class), (select count(*) from pgpipe.load), (select count(*) from pgpipe.load_file),
           pg_current_xact_id_if_assigned() is null
"""


def test_only_the_entities_asked_for(cli: Cli, lake: Lake, database: Database) -> None:
    """--entity may be repeated; the others are not looked at."""
    for entity in ("a", "b", "c"):
        lake.put("2026-01-01", entity, ROWS)

    done = load(cli, lake.url, "--entity", "c", "--entity", "a", "--key", "id, text", "--skip-search")

    assert list(done) == [("a", "import"), ("c", "import")]
    assert rows(database, "select to_regclass('b')") == [(None,)]


def test_an_older_date_may_be_asked_for(cli: Cli, lake: Lake, database: Database) -> None:
    """A snapshot goes back to it, if that is accepted."""
    lake.put("2026-01-01", "a", ROWS[:1])
    lake.put("2026-01-02", "a", ROWS)
    load(cli, lake.url, "--key", "id", "--mode", "snapshot")

    older = ("--date", "2026-01-01", "--accept", "older")
    stage = load(cli, lake.url, "--key", "id", "--mode", "snapshot", *older)["a", "import"]

    assert counts(stage) == (0, 0, 2, 1)
    assert rows(database, "select id from a") == [(0,)]


def test_a_plan_touches_nothing(cli: Cli, lake: Lake, database: Database) -> None:
    """`plan` says what would be done, with which columns, and why; `load --dry-run` and `diff` are the same."""
    lake.put("2026-01-01", "a", ROWS)
    before = rows(database, OBJECTS)

    plan = cli("plan", "--source", lake.url, "--key", "id", "--json")
    dry, diff = (cli(*of, "--source", lake.url, "--key", "id", "--json") for of in (("load", "--dry-run"), ("diff",)))

    assert (plan.code, plan.err) == (dry.code, dry.err) == (0, "")
    assert dry == diff
    assert json.loads(dry.out)[0]["inserted"] == 3
    assert json.loads(plan.out) == [
        {
            "entity": "a",
            "date": "2026-01-01",
            "files": 1,
            "bytes": (lake.path / "2026-01-01/a/part-0.parquet").stat().st_size,
            "action": "create",
            "mode": "upsert",
            "key": ["id"],
            "rows": 3,
            "row_groups": 1,
            "columns": {"id": "bigint", "text": "text"},
            "search": [{"column": "text", "weight": "A", "reason": "5.0 words a value: titles"}],
            "embed": {"columns": ["text"], "model": "sentence-transformers/all-MiniLM-L6-v2"},
        }
    ]
    assert rows(database, OBJECTS) == before


def test_a_plan_says_what_will_change(cli: Cli, lake: Lake) -> None:
    """New and widened columns; nothing to do; what is refused, with exit code 1."""
    lake.put("2026-01-01", "a", [{"id": 1, "size": 1}])
    lake.put("2026-01-01", "b", [{"id": 1, "size": 1}])
    load(cli, lake.url, "--key", "id")
    again = cli("plan", "--source", lake.url, "--key", "id")
    lake.put("2026-01-02", "a", [{"id": 1, "size": 1, "colour[/]": "red"}])
    lake.put("2026-01-02", "b", [{"id": 1, "size": "large"}])

    later = cli("plan", "--source", lake.url, "--key", "id")

    assert (again.code, again.err) == (0, "")
    assert again.out.count("  action: nothing: in the ledger\n") == 2
    fails(later, 1, "pgpipe: b: 'size' is text in the files but bigint in the target")
    assert "  new columns: colour[/] text\n" in later.out
    assert "  refused: 'size' is text" in later.out


def test_an_entity_that_fails_leaves_the_others_done(cli: Cli, lake: Lake) -> None:
    """Before it and behind it; the report and one line on stderr say which and why; the next run carries on."""
    for entity in ("a", "b", "c"):
        lake.put("2026-01-01", entity, ROWS)
    broken = lake.path / "2026-01-01/b/part-0.parquet"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-10])

    result = cli("load", "--source", lake.url, "--key", "id", "--skip-embeddings", "--json")

    fails(result, 1, "pgpipe: b: ", "b/part-0.parquet is a Parquet file that was cut short")
    assert {key: s["state"] for key, s in stages(result).items()} == {
        ("a", "import"): "ok",
        ("a", "search"): "ok",
        ("b", "import"): "failed",
        ("c", "import"): "ok",
        ("c", "search"): "ok",
    }
    broken.write_bytes(whole)
    done = load(cli, lake.url, "--key", "id")
    assert [done[e, "import"]["state"] for e in "abc"] == ["nothing to do", "ok", "nothing to do"]


def test_the_table_of_a_report(cli: Cli, lake: Lake) -> None:
    """A row for each entity and stage with its numbers; names and notes are printed as they are."""
    lake.put("2026-01-01", "[red]a", ROWS)

    result = cli("load", "--source", lake.url, "--skip-embeddings")

    header, first, second, *notes = result.out.splitlines()
    numbers = ["read", "inserted", "updated", "deleted", "unchanged", "seconds"]
    assert header.split() == ["entity", "stage", *numbers, "state"]
    assert first.split()[:7] == ["[red]a", "import", "3", "3", "0", "0", "0"]
    assert first.split()[8:] == ["ok"]
    assert second.split()[:2] == ["[red]a", "search"]
    advice = 'no key: before the next date, write key = ["id"] or mode = "append" under [entity."[red]a"]'
    advice += ": id is unique and not null in all 3 rows of the date"
    assert notes == [f"[red]a import: table made, its indexes after its rows; {advice}"]


def test_status_shows_the_last_load(cli: Cli, lake: Lake) -> None:
    """Of each entity, done or failed."""
    lake.put("2026-01-01", "a", ROWS)
    lake.put("2026-01-01", "b", [{"id": None}, {"id": 1}])
    empty = cli("status", "--json")
    cli("load", "--source", lake.url, "--key", "id", "--skip-embeddings")

    loads = json.loads(cli("status", "--json").out)["loads"]

    told = json.loads(empty.out)
    assert (told["loads"], told["embeddings"]) == ([], [])
    assert [(x["entity"], x["state"], x["inserted"]) for x in loads] == [("a", "done", 3), ("b", "failed", 0)]
    assert "is NULL in 1 of the rows" in loads[1]["error"]
    assert cli("status").out.count("2026-01-01") >= 2


def test_targets_may_lie_in_a_schema(cli: Cli, lake: Lake, database: Database) -> None:
    """It must be there; then everything works in it as it does in public."""
    Path("pgpipe.toml").write_text('[database]\nschema = "The Shop"\n')
    lake.put("2026-01-01", "a", ROWS)
    lake.put("2026-01-02", "a", ROWS[:2])
    options = ("--key", "id", "--mode", "snapshot")
    for command in ("load", "plan"):
        fails(
            cli(command, "--source", lake.url), 2, "database.schema: the database has no schema 'The Shop'; create it"
        )
    with database.connect(autocommit=True) as conn:
        conn.execute('create schema "The Shop"')

    load(cli, lake.url, "--date", "2026-01-01", *options, embed=True)
    stage = load(cli, lake.url, *options, embed=True)["a", "import"]

    assert counts(stage) == (0, 0, 1, 2)
    assert load(cli, lake.url, *options, embed=True)["a", "import"]["state"] == "nothing to do"
    assert rows(database, 'select id from "The Shop".a order by id') == [(0,), (1,)]
    assert rows(database, "select key from pgpipe.job order by key") == [({"id": n},) for n in range(3)]
    assert len(json.loads(cli("search", "words", "--mode", "text", "--json").out)) == 2
