"""Rows that break a rule of the target, a NOT NULL or a CHECK: refused by name, or rejected, as the column says."""

import pyarrow as pa
import pytest

from pgpipe.db import Database
from pgpipe.load.write import append
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import REJECTED, fails, load, rows

MODES = ["append", "upsert", "snapshot"]


@pytest.mark.parametrize("mode", MODES)
def test_not_null_and_check_of_the_target(
    cli: Cli, lake: Lake, database: Database, configure: Configure, mode: str
) -> None:
    """What the target's own rules refuse is found among all rows at once, named, and may be rejected."""
    lake.put("2026-01-01", "product", pa.table({"id": [1], "size": [1], "colour": ["red"]}))
    configure(key=["id"], mode=mode)
    load(cli, lake.url)
    with database.connect(autocommit=True) as conn:
        conn.execute("alter table product alter colour set not null, add constraint small check (size < 10)")
        conn.execute("alter table product add constraint either check (size > 0 or colour <> 'red')")
    file = lake.put("2026-01-02", "product", pa.table({
        "id": [1, 2, 3, 4, 5],
        "size": [2, 11, 3, 0, None],
        "colour": ["blue", "blue", None, "red", "blue"],
    }), row_group_size=2)  # fmt: skip

    fails(cli("load", "--source", lake.url, "--json"), 1, "row group 1, row 0, column 'colour': NULL, and the column")
    configure(key=["id"], mode=mode, bad_values={"colour": "reject"})
    fails(cli("load", "--source", lake.url, "--json"), 1, 'row group 0, row 1: violates check constraint "small"')
    assert rows(database, "select count(*) from product") == [(1,)]
    configure(key=["id"], mode=mode, bad_values="reject")
    if mode == "append":
        with database.connect(autocommit=True) as conn:
            conn.execute("alter table product drop constraint product_pkey")
    stage = load(cli, lake.url)["product", "import"]

    assert (stage["read"], stage["rejected"]) == (5, 3)
    small, either = ('violates check constraint "small"', 'violates check constraint "either"')
    null = "NULL, and the column is NOT NULL"
    assert rows(database, REJECTED) == [
        (f"file://{file}", 0, 1, "size", small, {"id": 2}, {"id": 2, "size": 11, "colour": "blue"}),
        (f"file://{file}", 1, 0, "colour", null, {"id": 3}, {"id": 3, "size": 3, "colour": None}),
        (f"file://{file}", 1, 1, None, either, {"id": 4}, {"id": 4, "size": 0, "colour": "red"}),
    ]
    assert rows(database, "select id, size from product where size is distinct from 1 order by id") == [
        (1, 2),
        (5, None),
    ]


def test_a_check_sees_the_row_as_it_would_become(
    cli: Cli, lake: Lake, database: Database, configure: Configure
) -> None:
    """A column that the files lack has the value of the row that is there."""
    configure(key=["id"], bad_values="reject")
    lake.put("2026-01-01", "product", pa.table({"id": [1, 2], "low": [1, 5], "high": [9, 9]}))
    load(cli, lake.url)
    with database.connect(autocommit=True) as conn:
        conn.execute("alter table product add constraint ordered check (low < high)")
    lake.put("2026-01-02", "product", pa.table({"id": [1, 2, 3], "low": [10, 6, 99]}))

    stage = load(cli, lake.url)["product", "import"]

    assert (stage["inserted"], stage["updated"], stage["rejected"]) == (1, 1, 1)
    assert rows(database, "select id, low, high from product order by id") == [(1, 1, 9), (2, 6, 9), (3, 99, None)]


def test_checks_of_files_that_are_appended_at_once(
    cli: Cli, lake: Lake, database: Database, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is a transaction on one of several connections, and each looks for its own bad rows."""
    monkeypatch.setattr(append, "COMMIT_FILES", 1)
    configure(mode="append", bad_values="reject")
    lake.put("2026-01-01", "product", pa.table({"n": [0]}))
    load(cli, lake.url)
    with database.connect(autocommit=True) as conn:
        conn.execute("alter table product add constraint small check (n % 10 <> 7)")
    for number in range(6):
        table_ = pa.table({"n": range(100 * number, 100 * number + 100)})
        lake.put("2026-01-02", "product", table_, f"{number}.parquet", row_group_size=30)

    stage = load(cli, lake.url, "--jobs", "3")["product", "import"]

    assert (stage["read"], stage["inserted"], stage["rejected"]) == (600, 540, 60)
    assert rows(database, "select count(*), count(distinct n), sum(n) from product") == [(541, 540, 161_580)]
    assert {30 * group + number for _, group, number, *_ in rows(database, REJECTED)} == set(range(7, 100, 10))
    assert rows(database, "select sum(read), sum(rejected) from pgpipe.load_file") == [(601, 60)]


def test_the_check_of_a_domain_names_its_row(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """It cannot be rejected; nothing is loaded."""
    with database.connect(autocommit=True) as conn:
        conn.execute("create domain positive as bigint check (value > 0)")
    configure(key=["id"], types={"n": "positive"}, bad_values="reject")
    lake.put("2026-01-01", "product", pa.table({"id": [1, 2], "n": [1, 0]}))

    fails(cli("load", "--source", lake.url, "--json"), 1, "row group 0, row 1", 'check constraint "positive_check"')

    assert rows(database, "select to_regclass('product')") == [(None,)]
