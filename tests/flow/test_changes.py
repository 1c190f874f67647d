"""Change files: rows with an order, and rows that delete their key."""

import json
from pathlib import Path
from typing import Any

import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake, Result
from tests.flow.support import counts, fails, load, rows, table

Row = dict[str, Any]
CHANGES = {"key": ["id"], "order": ["at"], "delete": "op = 'D'"}
ADDED_UP = """
    select count(*) from pgpipe.load
     where error is null and read <> inserted + updated + unchanged + rejected + left_out + superseded + deletes
"""


def change(op: str, key: int, at: object, text: str = "") -> Row:
    """A row of a change file."""
    return {"op": op, "id": key, "at": at, "text": text or f"{op}{at}"}


def texts(database: Database) -> dict[int, str]:
    """What the target has."""
    return {key: row["text"] for key, row in table(database, "product", "id").items()}


def take(cli: Cli, lake: Lake, *options: str) -> dict[str, Any]:
    """A load of changes that must succeed."""
    return load(cli, lake.url, "--skip-search", *options)["product", "import"]


def attempt(cli: Cli, lake: Lake, *options: str) -> Result:
    """A load that may fail."""
    return cli("load", "--source", lake.url, "--skip-search", "--skip-embeddings", "--json", *options)


@pytest.fixture
def changes(configure: Configure) -> None:
    """The settings of change files."""
    configure(**CHANGES)


@pytest.mark.usefixtures("changes")
def test_the_last_change_of_a_key_counts(cli: Cli, lake: Lake, database: Database) -> None:
    """Issue 13: of several changes of a key the last by `order` is loaded, in a first load and in later ones."""
    days = {
        "2026-01-01": [change("I", 1, 1), change("U", 1, 3), change("U", 1, 2), change("I", 2, 1), change("D", 2, 2)],
        "2026-01-02": [change("D", 1, 5), change("U", 1, 4), change("I", 2, 3), change("I", 3, 1), change("D", 9, 1)],
        "2026-01-03": [change("U", 1, 4, "late"), change("U", 2, 3, "tie"), change("U", 3, 0), change("U", 3, None)],
    }
    wanted = [({1: "U3"}, 3), ({2: "I3", 3: "I1"}, 1), ({2: "tie", 3: "I1"}, 3)]
    reports = []
    for (day, changed), (left, superseded) in zip(days.items(), wanted, strict=True):
        lake.put(day, "product", changed)

        reports.append(take(cli, lake))

        assert texts(database) == left
        assert reports[-1]["superseded"] == superseded
    assert [(counts(report), report["deletes"]) for report in reports] == [
        ((1, 0, 0, 0), 1),
        ((2, 0, 1, 0), 2),
        ((0, 1, 0, 0), 0),
    ]
    assert rows(database, "select key, position, date::text from pgpipe.tombstone order by key") == [
        ({"id": 1}, {"at": 5}, "2026-01-02"),
        ({"id": 9}, {"at": 1}, "2026-01-02"),
    ]
    assert rows(database, ADDED_UP) == [(0,)]


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    (
        {"mode": "snapshot"},
        2,
        "product.order is for change files, which need mode upsert and a key; the mode is snapshot",
    ),
    ({"mode": "append", "order": []}, 2, "entity.product.delete is for change files, which need mode upsert"),
    ({"key": []}, 2, "the mode is append"),
    ({"order": ["since"]}, 2, "entity.product.order names 'since', which is not in the files; they have op, id, at"),
    ({"order": ["more"]}, 2, "entity.product.order names 'more', which is jsonb: its values have no order"),
    ({"delete": "op ="}, 2, "entity.product.delete: the condition 'op =' cannot be used: syntax error"),
    ({"delete": "op"}, 2, "the condition '\"op\"' cannot be used: it must be of type boolean, not type text"),
    ({"delete": "kind = 'D'"}, 2, 'column "kind" does not exist. Write a condition on the columns of one row'),
    ({"delete": "true); drop table product; --"}, 2, "it is more than one expression"),
    ({"exclude": ["op"]}, 2, "entity.product.delete names 'op', which exclude leaves out: it is not read"),
    ({"delete": "count(*) > 1"}, 2, "aggregate functions are not allowed"),
    ({"delete": "text::int > 1"}, 1, """cannot be used: invalid input syntax for type integer: "…". Write it so"""),
    ({"order": []}, 1, "the key (id) is not unique: 1 of its values occur more than once, such as '1'"),
]


def test_settings_that_cannot_be_used(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 13: what is wrong with the settings of change files is said in one line, by name, and by plan alike."""
    lake.put("2026-01-01", "product", [change("I", 1, 1) | {"more": {"a": 1}}, change("U", 1, 2) | {"more": None}])
    for settings, code, part in REFUSED:
        configure(**(CHANGES | settings))

        line = fails(attempt(cli, lake), code, "product: ", part)

        if code == 2:  # else only the rows tell
            assert line == fails(cli("plan", "--source", lake.url, "--json"), 1, part)
    assert rows(database, "select to_regclass('product'), count(*) from pgpipe.tombstone") == [(None, 0)]


def test_deletes_of_change_files_are_limited(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 13: max_deleted counts the deletes of change files; of up to 100 rows these may delete all."""
    configure(**(CHANGES | {"max_deleted": "25%"}))
    lake.put("2026-01-01", "product", [change("I", key, 1) for key in range(200)])
    take(cli, lake)
    lake.put("2026-01-02", "product", [change("D", key, 2) for key in range(149, 210)])

    fails(attempt(cli, lake), 1, "would delete 51 of the 200 rows of public.product, such as (id) 149; 150; 151")

    assert rows(database, "select count(*) from product") == [(200,)]
    assert rows(database, "select count(*) from pgpipe.tombstone") == [(0,)]
    done = take(cli, lake, "--accept", "max_deleted")
    assert (done["deleted"], done["deletes"]) == (51, 61)
    lake.put("2026-01-03", "product", [change("D", key, 3) for key in range(50, 149)])
    take(cli, lake, "--accept", "max_deleted")
    lake.put("2026-01-04", "product", [change("D", key, 4) for key in range(50)])
    assert take(cli, lake)["deleted"] == 50


@pytest.mark.usefixtures("changes")
def test_diff_of_change_files(cli: Cli, lake: Lake) -> None:
    """Issue 13: `pgpipe diff` counts change files as the load does, before the target is there and after."""
    lake.put("2026-01-01", "product", [change("I", 1, 1), change("U", 1, 2), change("I", 2, 1), change("D", 3, 1)])
    lake.put("2026-01-02", "product", [change("U", 1, 1), change("D", 2, 2), change("D", 9, 1), change("I", 3, 2)])
    for day in ("2026-01-01", "2026-01-02"):
        options = ("--source", lake.url, "--date", day)

        (seen,) = json.loads(cli("diff", *options, "--json").out)

        assert counts(seen) == counts(take(cli, lake, "--date", day))


def execute(database: Database, *statements: str) -> None:
    """Plain SQL of somebody else."""
    with database.connect(autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement.encode())


def test_a_delete_needs_no_values(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 13: NOT NULL and CHECK hold for rows that stay: what breaks them is named or rejected; deletes pass."""
    execute(
        database,
        "create table product (id bigint primary key, at bigint, text text not null, op text, check (text <> 'U2'))",
        "insert into product values (1, 1, 'old'), (2, 1, 'old'), (3, 1, 'old')",
    )
    changed = [change("D", 1, 2) | {"text": None}, change("U", 2, 3) | {"text": None}, change("U", 3, 2)]
    lake.put("2026-01-02", "product", [*changed, change("U", 4, 3)])
    configure(**CHANGES)
    fails(attempt(cli, lake), 1, "row group 0, row 1, column 'text': NULL, and the column is NOT NULL")
    configure(**CHANGES, bad_values="reject")

    done = take(cli, lake)

    assert (counts(done), done["rejected"], done["deletes"]) == ((1, 0, 1, 0), 2, 1)
    assert texts(database) == {2: "old", 3: "old", 4: "U3"}
    assert rows(database, "select key from pgpipe.rejected_row order by row_number") == [({"id": 2},), ({"id": 3},)]


def test_entities_that_are_linked(cli: Cli, lake: Lake, database: Database, tmp_path: Path) -> None:
    """Issue 13: change files of entities that foreign keys link are one transaction, and so are their tombstones."""
    entity = CHANGES | {"search": False, "embed": False}
    (tmp_path / "pgpipe.json").write_text(json.dumps({"entity": {"product": entity, "item": entity}}))
    columns = "(id bigint primary key, at bigint, text text, op text"
    execute(database, f"create table product {columns})", f"create table item {columns}, of bigint references product)")
    execute(database, "insert into product values (1, 1), (2, 1)", "insert into item values (1, 1, '', '', 1)")
    lake.put("2026-01-02", "product", [change("D", 1, 2), change("I", 3, 1)])
    lake.put("2026-01-02", "item", [change("D", 1, 2) | {"of": 1}, change("I", 2, 1) | {"of": 3}])

    found = load(cli, lake.url)

    assert [counts(found[name, "import"]) for name in ("product", "item")] == [(1, 0, 1, 0)] * 2
    assert rows(database, "select entity, key from pgpipe.tombstone order by 1") == [
        ("item", {"id": 1}),
        ("product", {"id": 1}),
    ]


@pytest.mark.usefixtures("changes")
def test_tombstones_end(cli: Cli, lake: Lake, database: Database) -> None:
    """Issue 13: a tombstone goes 90 days of files after its delete, older dates are refused, TRUNCATE forgets all."""
    lake.put("2026-01-02", "product", [change("D", 1, 5), change("I", 2, 1)])
    lake.put("2026-04-02", "product", [change("D", 3, 7)])
    lake.put("2026-04-03", "product", [change("I", 4, 1)])
    for date in ("2026-01-02", "2026-04-02"):
        take(cli, lake, "--date", date)
    tombstones = "select (key ->> 'id')::int from pgpipe.tombstone order by key"
    assert rows(database, tombstones) == [(1,), (3,)]

    take(cli, lake)

    assert rows(database, tombstones) == [(3,)]
    lake.put("2026-01-02", "product", [change("I", 1, 1)], "late.parquet")
    fails(attempt(cli, lake, "--date", "2026-01-02", "--accept", "older"), 1, "2026-01-02 is more than 90 days older")
    execute(database, "truncate product")
    assert rows(database, tombstones) == []
