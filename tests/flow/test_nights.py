"""Nights that go wrong: a snapshot that would wipe a table, an older date, a date twice over, somebody else's table."""

import json

import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake, Result
from tests.flow.support import counts, fails, load, rows, table

SNAPSHOT = ("--mode", "snapshot", "--key", "id")
Row = dict[str, object]


def items(*numbers: int) -> list[Row]:
    """Rows of these ids."""
    return [{"id": number, "text": f"row {number}"} for number in numbers]


def ids(database: Database, name: str = "item") -> set[object]:
    """The ids in a table."""
    return set(table(database, name, "id"))


def run(cli: Cli, lake: Lake, *options: str) -> Result:
    """A load that may fail."""
    return cli("load", "--source", lake.url, "--skip-search", "--skip-embeddings", "--json", *options)


@pytest.mark.parametrize(
    ("limit", "kept", "refused"),
    [
        ({}, 100, None),
        ({}, 99, "(id) 99; 100; 101"),
        ({"max_deleted": "25%"}, 149, "max_deleted is 25 %"),
        ({"max_deleted": "25%"}, 150, None),
        ({"max_deleted": 0.1}, 179, "max_deleted is 10 %"),
        ({"max_deleted": 20}, 179, "max_deleted is 20 rows"),
        ({"max_deleted": 20}, 180, None),
        ({"max_deleted": 1.0}, 1, None),
    ],
)
def test_a_snapshot_deletes_no_more_than_it_may(
    cli: Cli, lake: Lake, database: Database, configure: Configure, limit: Row, kept: int, refused: str | None
) -> None:
    """Issue 10: a night that would delete more than `max_deleted` changes nothing and says rule, numbers and keys."""
    configure(mode="snapshot", key=["id"], **limit)
    lake.put("2026-01-01", "product", items(*range(200)))
    load(cli, lake.url)
    # One row is new, and one has changed: a refusal keeps both away.
    lake.put("2026-01-02", "product", [{"id": 0, "text": "changed"}, *items(*range(1, kept), 500)])

    result = run(cli, lake)

    if refused is None:
        assert (result.code, len(ids(database, "product"))) == (0, kept + 1)
        return
    line = fails(result, 1, refused, f"delete {200 - kept} of the 200 rows of public.product", "--accept max_deleted")
    assert "Nothing was changed" in line
    assert rows(database, "select count(*), min(text) from product") == [(200, "row 0")]
    assert rows(database, "select date::text from pgpipe.load_file") == [("2026-01-01",)]
    load(cli, lake.url, "--accept", "max_deleted")
    assert len(ids(database, "product")) == kept + 1


def test_a_small_table_may_change_much_but_not_wholly(cli: Cli, lake: Lake, database: Database) -> None:
    """Issue 10: of up to 100 rows a snapshot may delete any share, but not all; a setting for all entities holds."""
    lake.put("2026-01-01", "item", items(*range(100)))
    lake.put("2026-01-02", "item", items(0))
    lake.put("2026-01-03", "item", items(7))
    for date in ("2026-01-01", "2026-01-02"):
        load(cli, lake.url, "--date", date, *SNAPSHOT)

    fails(run(cli, lake, *SNAPSHOT), 1, "would delete 1 of the 1 rows of public.item, such as (id) 0", "never all")

    assert ids(database) == {0}
    load(cli, lake.url, *SNAPSHOT, "--accept", "max_deleted")
    assert ids(database) == {7}


def test_the_default_for_all_entities(cli: Cli, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 10: `load.max_deleted` holds for every entity that has none of its own; a wrong one is refused by name."""
    monkeypatch.setenv("PGPIPE_LOAD__MAX_DELETED", "3")
    lake.put("2026-01-01", "item", items(*range(10)))
    load(cli, lake.url, *SNAPSHOT)
    lake.put("2026-01-02", "item", items(*range(6)))

    fails(run(cli, lake, *SNAPSHOT), 1, "would delete 4 of the 10 rows of public.item", "max_deleted is 3 rows")

    for wrong in ("half", "-1", "120%", "1.5"):
        monkeypatch.setenv("PGPIPE_LOAD__MAX_DELETED", wrong)
        fails(run(cli, lake, *SNAPSHOT), 2, "load.max_deleted: is a share such as 0.5")


@pytest.mark.parametrize("shape", ["no rows", "no files"])
def test_an_empty_snapshot_is_refused(cli: Cli, lake: Lake, database: Database, shape: str) -> None:
    """Issue 10: a date without a row or without a file is no reason to empty a table, in `plan` and in `load`."""
    lake.put("2026-01-01", "item", items(1, 2))
    load(cli, lake.url, *SNAPSHOT)
    file = lake.put("2026-01-02", "item", pa.Table.from_pylist(items(1)).slice(0, 0))
    if shape == "no files":
        file.rename(file.with_name("_SUCCESS"))

    for command in ("plan", "load"):
        result = cli(command, "--source", lake.url, *SNAPSHOT, "--json")
        fails(result, 1, "would delete all rows of public.item", "--accept max_deleted")
    assert ids(database) == {1, 2}

    stage = load(cli, lake.url, *SNAPSHOT, "--accept", "max_deleted")["item", "import"]
    assert (stage["deleted"], ids(database)) == (2, set())
    assert rows(database, "select count(*) from pgpipe.load_file") == [(int(shape == "no rows"),)]


def test_rejected_rows_count_as_there(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 10: what a snapshot has but could not bring is not deleted, and so the table is not emptied."""
    configure(mode="snapshot", key=["id"], bad_values="reject")
    lake.put("2026-01-01", "product", items(1, 2))
    load(cli, lake.url)
    lake.put("2026-01-02", "product", [{"id": 1, "text": "nul \0"}])

    stage = load(cli, lake.url)["product", "import"]

    assert (stage["deleted"], stage["rejected"], ids(database, "product")) == (1, 1, {1})


@pytest.mark.parametrize("mode", ["append", "upsert", "snapshot"])
def test_an_older_date_is_refused(cli: Cli, lake: Lake, database: Database, mode: str) -> None:
    """Issue 10: an older date than the newest in the target would take it back; `plan` says so too."""
    options = ("--mode", mode, *(() if mode == "append" else ("--key", "id")))
    lake.put("2026-01-02", "item", items(1, 2))
    load(cli, lake.url, *options)
    lake.put("2026-01-01", "item", items(1, 3))
    older = ("--date", "2026-01-01", *options)

    for command in ("plan", "load"):
        result = cli(command, "--source", lake.url, "--json", *older)
        fails(result, 1, "2026-01-02 is in the target, and 2026-01-01 is older", "--accept older")
    assert ids(database) == {1, 2}

    load(cli, lake.url, *older, "--accept", "older")
    assert ids(database) == ({1, 3} if mode == "snapshot" else {1, 2, 3})


def test_a_date_may_be_loaded_again(cli: Cli, lake: Lake, database: Database) -> None:
    """Issue 10: the newest date again, with other bytes, is loaded; an older one that was loaded is left alone."""
    for date in ("2026-01-01", "2026-01-02"):
        lake.put(date, "item", items(1))
        load(cli, lake.url, "--key", "id", "--date", date)
    lake.put("2026-01-02", "item", items(1, 2))

    load(cli, lake.url, "--key", "id")
    stage = load(cli, lake.url, "--key", "id", "--date", "2026-01-01")["item", "import"]

    assert (stage["state"], ids(database)) == ("nothing to do", {1, 2})


def test_a_range_goes_on_where_it_stopped(cli: Cli, lake: Lake, database: Database) -> None:
    """Issue 10: a range loads its dates in order, and the same range again finds its snapshots superseded."""
    for day in (1, 2, 3):
        lake.put(f"2026-01-0{day}", "item", items(day, day + 1))
    options = ("--source", lake.url, "--date", "2026-01-01..", *SNAPSHOT, "--skip-embeddings", "--json")

    for notes in (
        ["table made, its indexes after its rows", "", ""],
        [*["nothing: the snapshot of 2026-01-03 is in the target"] * 2, "1 file in the ledger"],
    ):
        result = cli("load", *options)
        assert result.code == 0, result.err
        reports = json.loads(result.out)["dates"]
        assert [report["stages"][0]["note"] for report in reports] == notes
        assert ids(database) == {3, 4}
    assert json.loads(cli("plan", *options).out)[0]["reason"] == "the snapshot of 2026-01-03 is in the target"


def test_a_second_date_without_a_key_is_refused(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 10: what has no key is not doubled by the next date; both ways out are named, and work."""
    lake.put("2026-01-01", "product", items(1, 2))
    first = load(cli, lake.url)["product", "import"]
    assert 'write key = ["id"] or mode = "append" under [entity.product]' in first["note"]
    lake.put("2026-01-01", "product", items(3), "late.parquet")
    load(cli, lake.url)
    lake.put("2026-01-02", "product", items(1, 2, 3, 4))

    for command in ("plan", "load"):
        result = cli(command, "--source", lake.url, "--json")
        fails(result, 1, "[entity.product]", 'key = ["…"]', 'mode = "append"', "the rows of 2026-01-01")
    assert rows(database, "select count(*) from product") == [(3,)]

    configure(key=["id"])
    assert counts(load(cli, lake.url)["product", "import"]) == (1, 0, 0, 3)
    lake.put("2026-01-03", "product", items(9))  # the key is the table's now, so a double would be refused
    configure(mode="append")
    assert counts(load(cli, lake.url)["product", "import"]) == (1, 0, 0, 0)


def test_a_table_of_somebody_else(cli: Cli, lake: Lake, database: Database) -> None:
    """K7: a folder that has the name of a table does not overwrite it, until somebody names the entity."""
    with database.connect(autocommit=True) as conn:
        conn.execute("create table users (id bigint primary key, is_admin boolean)")
        conn.execute("insert into users values (1, false)")
    lake.put("2026-01-01", "users", [{"id": 1, "is_admin": True}])
    lake.put("2026-01-01", "product", items(1))

    for command in ("plan", "load"):
        result = cli(command, "--source", lake.url, "--key", "id", "--json")
        fails(result, 1, "users: pgpipe did not make the table public.users", "[entity.users]", "--entity users")
    assert rows(database, "select * from users") == [(1, False)]
    assert rows(database, "select count(*) from pg_trigger where tgrelid = 'users'::regclass") == [(0,)]
    assert ids(database, "product") == {1}

    stage = load(cli, lake.url, "--entity", "users")["users", "import"]
    assert counts(stage) == (0, 1, 0, 0)
    lake.put("2026-01-02", "users", [{"id": 1, "is_admin": False}])
    load(cli, lake.url)  # by now it is pgpipe's to load
    assert rows(database, "select is_admin from users") == [(False,)]


def test_the_configuration_names_a_table(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """K7: a section of its own is consent, whatever it says; an older ledger of that name is not."""
    lake.put("2026-01-01", "product", items(1))
    load(cli, lake.url, "--key", "id")
    with database.connect(autocommit=True) as conn:
        conn.execute("drop table product")
        conn.execute("create table product (id bigint primary key, text text)")

    fails(run(cli, lake), 1, "pgpipe did not make the table public.product")

    configure()
    assert counts(load(cli, lake.url)["product", "import"]) == (1, 0, 0, 0)
