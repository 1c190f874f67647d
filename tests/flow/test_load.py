"""Loads by mode: snapshot, upsert and append, and what a second run of each does."""

import pyarrow as pa

from pgpipe.db import Database
from tests.conftest import Cli, DocsLake, Lake
from tests.flow.support import counts, load, rows, table, versions

OLDER = [{"id": n, "text": f"row {n}", "size": n} for n in range(1, 6)]
NEWER = [
    {"id": 1, "text": "row 1", "size": 1},
    {"id": 2, "text": "row 2, changed", "size": 2},
    {"id": 3, "text": "row 3", "size": 33},
    {"id": 6, "text": "row 6", "size": 6},
]


def two_dates(lake: Lake) -> None:
    """One row stays, two change, two go, one comes."""
    lake.put("2026-01-01", "product", OLDER)
    lake.put("2026-01-02", "product", NEWER)


def test_snapshot_changes_exactly_what_differs(cli: Cli, docs_lake: DocsLake, database: Database) -> None:
    """The newer date touches the known rows and no other; the rest keeps its row version."""
    options = ("--key", "name", "--mode", "snapshot")
    load(cli, docs_lake.url, "--date", "2026-01-01", *options)
    before = versions(database, "function", "name")

    second = load(cli, docs_lake.url, *options)

    for entity, changes in docs_lake.changes.items():
        kept = changes.rows - changes.inserted - changes.updated
        assert counts(second[entity, "import"]) == (changes.inserted, changes.updated, changes.deleted, kept)
    after = versions(database, "function", "name")
    changes = docs_lake.changes["function"]
    untouched = {n for n in after if before.get(n) == after[n]}
    assert len(untouched) == changes.rows - changes.inserted - changes.updated


def test_snapshot_is_the_whole_truth(cli: Cli, lake: Lake, database: Database) -> None:
    """What the newer date lacks is gone."""
    two_dates(lake)
    load(cli, lake.url, "--date", "2026-01-01", "--key", "id", "--mode", "snapshot")

    stage = load(cli, lake.url, "--key", "id", "--mode", "snapshot")["product", "import"]

    assert counts(stage) == (1, 2, 2, 1)
    assert table(database, "product", "id") == {row["id"]: row for row in NEWER}


def test_upsert_keeps_what_the_newer_date_lacks(cli: Cli, lake: Lake, database: Database) -> None:
    """Rows are changed and added by their key, which is the mode's default once there is a key."""
    two_dates(lake)
    load(cli, lake.url, "--date", "2026-01-01", "--key", "id")

    stage = load(cli, lake.url)["product", "import"]  # the key is known: it is the primary key by now

    assert counts(stage) == (1, 2, 0, 1)
    assert table(database, "product", "id") == {row["id"]: row for row in [*OLDER, *NEWER]}


def test_append_adds_every_row(cli: Cli, lake: Lake, database: Database) -> None:
    """Without a key nothing is compared; every row gets a number of its own."""
    two_dates(lake)
    load(cli, lake.url, "--date", "2026-01-01")

    stage = load(cli, lake.url, "--mode", "append")["product", "import"]

    assert counts(stage) == (4, 0, 0, 0)
    assert stage["note"] == "no key: rows are appended"
    assert rows(database, "select id, text, size from product order by pgpipe_row") == [
        tuple(row.values()) for row in [*OLDER, *NEWER]
    ]
    assert rows(database, "select pgpipe_internal.key_columns('product'), count(distinct pgpipe_row) from product") == [
        (["pgpipe_row"], 9)
    ]


def test_append_with_a_key_takes_no_row_twice(cli: Cli, lake: Lake, database: Database) -> None:
    """A key in append mode is still the primary key: the second date breaks it and is refused as a whole."""
    two_dates(lake)
    load(cli, lake.url, "--date", "2026-01-01", "--key", "id", "--mode", "append")

    result = cli("load", "--source", lake.url, "--key", "id", "--mode", "append", "--skip-embeddings", "--json")

    assert result.code == 1
    assert "2026-01-02/product/part-0.parquet, row group 0, row 0: duplicate key value violates" in result.err
    assert table(database, "product", "id") == {row["id"]: row for row in OLDER}


def test_a_second_run_finds_nothing_to_do(cli: Cli, docs_lake: DocsLake, database: Database) -> None:
    """In every mode: each file is in the ledger, and no row is touched."""
    for mode, key in (("snapshot", ["--key", "name"]), ("upsert", ["--key", "name"]), ("append", [])):
        options = ("--entity", {"snapshot": "module", "upsert": "class", "append": "function"}[mode], "--mode", mode)
        load(cli, docs_lake.url, *options, *key)
    before = [versions(database, entity, "name") for entity in docs_lake.changes]

    for mode, entity in (("snapshot", "module"), ("upsert", "class"), ("append", "function")):
        options = ("--entity", entity, "--mode", mode, *([] if mode == "append" else ["--key", "name"]))
        stage = load(cli, docs_lake.url, *options)[entity, "import"]
        assert (stage["state"], stage["note"], stage["read"]) == ("nothing to do", "2 files in the ledger", 0)

    assert [versions(database, entity, "name") for entity in docs_lake.changes] == before
    assert rows(database, "select count(*) from pgpipe.load") == [(3,)]


def test_a_second_run_says_that_there_is_nothing_to_do(cli: Cli, docs_lake: DocsLake) -> None:
    """In words, for whoever reads the report."""
    arguments = ("load", "--source", docs_lake.url, "--key", "name", "--skip-embeddings")

    first, second = cli(*arguments), cli(*arguments)

    assert (first.code, second.code) == (0, 0)
    assert "Nothing to do" not in first.out
    assert second.out.startswith("Nothing to do: everything of 2026-01-02 is in place.")


def test_only_new_files_of_a_date_are_read(cli: Cli, lake: Lake) -> None:
    """A file that comes late is added by upsert and append; the others are not read again."""
    lake.put("2026-01-01", "product", OLDER)
    lake.put("2026-01-01", "log", OLDER)
    load(cli, lake.url, "--entity", "product", "--key", "id")
    load(cli, lake.url, "--entity", "log")
    for entity in ("product", "log"):
        lake.put("2026-01-01", entity, NEWER[-1:], "late.parquet")

    product = load(cli, lake.url, "--entity", "product", "--key", "id")["product", "import"]
    log = load(cli, lake.url, "--entity", "log")["log", "import"]

    assert (product["read"], counts(product)) == (1, (1, 0, 0, 0))
    assert (log["read"], counts(log)) == (1, (1, 0, 0, 0))


def test_the_same_bytes_under_a_new_date_are_recognised(cli: Cli, lake: Lake, database: Database) -> None:
    """A snapshot that equals the one before is entered in the ledger and otherwise left alone."""
    lake.put("2026-01-01", "product", OLDER)
    load(cli, lake.url, "--key", "id", "--mode", "snapshot")
    before = versions(database, "product", "id")
    lake.put("2026-01-02", "product", OLDER, "another-name.parquet")

    stage = load(cli, lake.url, "--key", "id", "--mode", "snapshot")["product", "import"]

    assert (stage["state"], stage["read"]) == ("nothing to do", 0)
    assert stage["note"] == "the same bytes as the snapshot before: 1 file recognised"
    assert versions(database, "product", "id") == before
    assert rows(database, "select date::text, file from pgpipe.load_file") == [
        ("2026-01-02", f"{lake.url}/2026-01-02/product/another-name.parquet")
    ]
    again = load(cli, lake.url, "--key", "id", "--mode", "snapshot")["product", "import"]
    assert again["note"] == "1 file in the ledger"


def test_a_key_may_have_several_columns(cli: Cli, lake: Lake, database: Database) -> None:
    """In the order given, and of any type."""
    lake.put("2026-01-01", "price", [{"shop": "a", "day": 1, "cents": 5}, {"shop": "a", "day": 2, "cents": 6}])
    lake.put("2026-01-02", "price", [{"shop": "a", "day": 2, "cents": 7}, {"shop": "b", "day": 2, "cents": 8}])
    load(cli, lake.url, "--date", "2026-01-01", "--key", "day,shop")

    stage = load(cli, lake.url, "--key", "day,shop", "--mode", "snapshot")["price", "import"]

    assert counts(stage) == (1, 1, 1, 0)
    assert rows(database, "select pgpipe_internal.key_columns('price')") == [(["day", "shop"],)]
    assert rows(database, "select shop, day, cents from price order by 1") == [("a", 2, 7), ("b", 2, 8)]


def test_a_key_may_be_all_there_is(cli: Cli, lake: Lake, database: Database) -> None:
    """Rows without another column come and go; none can differ."""
    lake.put("2026-01-01", "tag", [{"name": "a"}, {"name": "b"}])
    load(cli, lake.url, "--key", "name", "--mode", "snapshot")
    lake.put("2026-01-02", "tag", [{"name": "b"}, {"name": "c"}])

    stage = load(cli, lake.url, "--key", "name", "--mode", "snapshot")["tag", "import"]

    assert counts(stage) == (1, 0, 1, 1)
    assert set(table(database, "tag", "name")) == {"b", "c"}


def test_an_empty_snapshot_empties_the_target(cli: Cli, lake: Lake, database: Database) -> None:
    """A file without rows is data too; as a first load it makes the table."""
    lake.put("2026-01-01", "product", pa.Table.from_pylist(OLDER).slice(0, 0))
    lake.put("2026-01-02", "product", OLDER)
    accepted = ("--accept", "max_deleted", "--accept", "older")
    for date, expected in (("2026-01-01", 0), ("2026-01-02", 5), ("2026-01-01", 0)):
        load(cli, lake.url, "--date", date, "--key", "id", "--mode", "snapshot", *accepted)
        assert len(table(database, "product", "id")) == expected
