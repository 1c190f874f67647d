"""A key that a snapshot has twice is found, though the merge does not look for it row by row."""

import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Lake
from tests.flow.support import counts, fails, load, table

SNAPSHOT = ("--entity", "item", "--mode", "snapshot", "--key", "id,part")
Row = tuple[int, str, str | None]
THERE: list[Row] = [(1, "a", "one"), (2, "a", "two"), (3, "a", "three"), (4, "a", "four")]
TWICE: dict[str, list[Row]] = {
    "as it is there": [*THERE, (2, "a", "two")],
    "once as it is there, once changed": [*THERE, (2, "a", "zwei")],
    "changed twice": [*THERE[:1], (2, "a", "zwei"), (2, "a", "deux"), *THERE[2:]],
    "new": [*THERE, (5, "a", "five"), (5, "a", "fünf")],
    "while as many are gone": [*THERE[:3], (2, "a", "two")],
    "while as many are new": [*THERE, (5, "a", "five"), (2, "a", "two")],
    "while one is gone and one is new": [*THERE[:3], (5, "a", "five"), (2, "a", "two")],
}
BARE = "create table item (id bigint, part text, word text)"
TARGETS = {
    "made by pgpipe": "",
    "without an index": BARE,
    "with a narrower index": f"{BARE}; create unique index on item (id)",
    "with an index on a part of its rows": f"{BARE}; create unique index on item (id, part) where id > 100",
    "with an index on an expression": f"{BARE}; create unique index on item (id, lower(part))",
    "with a child": f"{BARE}; create unique index on item (id, part); create table kid () inherits (item)",
    "in partitions": f"{BARE} partition by list (part); alter table item add primary key (id, part);"
    " create table item_a partition of item for values in ('a')",
}


def put(lake: Lake, date: str, found: list[Row]) -> None:
    """A snapshot."""
    ids, parts, words = zip(*found, strict=True)
    lake.put(date, "item", pa.table({"id": pa.array(ids, pa.int64()), "part": parts, "word": words}))


SELDOM = {"with a narrower index", "with an index on a part of its rows", "with a child"}  # as without an index


@pytest.mark.parametrize(
    "target", [pytest.param(target, marks=[pytest.mark.long] * (target in SELDOM)) for target in TARGETS]
)
def test_a_key_that_is_staged_twice(target: str, cli: Cli, lake: Lake, database: Database) -> None:
    """In whatever combination with what is there, the target stays; and a snapshot without such a key is loaded."""
    with database.connect(autocommit=True) as conn:
        conn.execute(TARGETS[target].encode())
    put(lake, "2026-01-01", THERE)
    load(cli, lake.url, *SNAPSHOT)
    before = table(database, "item", "id")

    for day, found in enumerate(TWICE.values(), start=2):
        put(lake, f"2026-01-{day:02}", found)
        message = "the key (id, part) is not unique: 1 of its values occur more than once"
        fails(cli("load", "--source", lake.url, "--json", *SNAPSHOT), 1, message)
        assert table(database, "item", "id") == before

    put(lake, "2026-02-01", [*THERE[1:3], (4, "a", "vier"), (5, "a", "five")])
    assert counts(load(cli, lake.url, *SNAPSHOT)["item", "import"]) == (1, 1, 1, 2)


def test_a_target_that_has_a_key_twice_hides_no_other(cli: Cli, lake: Lake, database: Database) -> None:
    """A table without an index may hold a key as often as the files do, and another that the files lack."""
    with database.connect(autocommit=True) as conn:
        conn.execute(BARE.encode())
        conn.execute("insert into item values (1, 'a', 'one'), (1, 'a', 'one'), (2, 'a', 'two')")
    put(lake, "2026-01-01", [(1, "a", "one"), (1, "a", "one"), (2, "a", "two")])

    message = "item is not unique by the key (id, part): 1 of its values occur more than once, such as '1, a'"
    fails(cli("load", "--source", lake.url, "--json", *SNAPSHOT), 1, message)


@pytest.mark.parametrize("rows", [[*THERE, (None, "a", "x")], [*THERE[1:], (1, None, "one")]])
def test_a_key_that_is_null(rows: list[Row], cli: Cli, lake: Lake, database: Database) -> None:
    """It matches nothing, and is no row of the target that is gone."""
    put(lake, "2026-01-01", THERE)
    load(cli, lake.url, *SNAPSHOT)
    put(lake, "2026-01-02", rows)

    fails(cli("load", "--source", lake.url, "--json", *SNAPSHOT), 1, "the key (id, part) is NULL in 1 of the rows")
    assert len(table(database, "item", "id")) == 4
