"""Rows that the target's storage has no place for: no partition, too large a row, too long a key. Each is named."""

import random
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pgpipe.db import Database
from pgpipe.load.plan.bounds import extremes
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import fails, load, rows

KEY = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789+-=.,:;<>()[]{}|", k=4000))
PARTS = """
    create table product (id bigint, day bigint) partition by range (day);
    create table p1 partition of product for values from (0) to (10);
    create table p2 partition of product for values from (10) to (20) partition by list (day);
    create table p3 partition of p2 for values in (11, 12); create unique index on product (id, day)
"""
DEFAULT = """
    create table product (id bigint, given bigint check (given < 50)) partition by range (given);
    create table p1 partition of product default; create unique index on product (id, given)
"""
WIDE = f"create table product (id bigint primary key, {', '.join(f'c{n} text' for n in range(700))})"
INDEXED = "create table product (id bigint primary key, v text); create index on product (v)"
LONG = random.Random(1).randbytes(1500).hex()
WIDE_ROWS = pa.table(  # of some bytes, 20 kB and 2 MB
    {"id": [1, 2, 3]} | {f"c{n}": ["x", f"{n:029}", f"{n}{LONG}"] for n in range(700)}
)


@pytest.mark.parametrize("mode", ["append", "upsert"])
@pytest.mark.parametrize(
    ("ddl", "table", "parts"),
    [
        (
            PARTS,
            pa.table({"id": [1, 2, 3, 4], "day": [1, 12, 77, None]}),
            ["column 'day': public.product has no partition for 77"],
        ),
        (
            DEFAULT,
            pa.table({"id": [1, 2, 3, 4], "given": [1, 12, 77, None]}),
            ["row 2: ", "violates check constraint"],
        ),
        (WIDE, WIDE_ROWS, ["row 1: row is too big: size"]),
        (INDEXED, pa.table({"id": [1, 2], "v": ["x", KEY]}), ["row 1"]),
        ("create table product (id text primary key)", pa.table({"id": ["x", KEY]}), ["row 1"]),
        ("", pa.table({"id": ["x", KEY]}), ["row 1, column 'id': a value of 4,000 bytes, and an index on this column"]),
    ],
    ids=["partition", "default", "wide", "index", "key", "new"],
)
def test_a_row_without_a_place(
    cli: Cli, lake: Lake, database: Database, configure: Configure, mode: str, ddl: str, table: pa.Table, parts: list
) -> None:
    """L21: the message says file, row group and row, in one line; a policy of `reject` loads the others."""
    configure(key=["id"], mode=mode)
    file = lake.put("2026-01-01", "product", table)
    with database.connect(autocommit=True) as conn:
        conn.execute(ddl.encode())

    fails(cli("load", "--source", lake.url, "--json"), 1, f"file://{file}, row group 0", *parts)

    if mode == "upsert":
        configure(key=["id"], mode=mode, bad_values="reject")
        stage = load(cli, lake.url)["product", "import"]
        assert stage["rejected"] == table.num_rows - stage["inserted"] > 0
        assert rows(database, "select count(*) from product") == [(stage["inserted"],)]


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_footers_foretell_a_missing_partition(
    cli: Cli, lake: Lake, database: Database, configure: Configure, mode: str
) -> None:
    """L21: `plan` and `load` refuse a value that the footer states, before a row is read, if no partition takes it."""
    configure(key=["id"], mode=mode)
    with database.connect(autocommit=True) as conn:
        conn.execute("create table product (id bigint, day date, primary key (id, day)) partition by range (day)")
        conn.execute("create table p1 partition of product for values from ('2026-01-01') to ('2026-02-01')")
    days = [date(2026, 1, 5), date(2026, 1, 31), date(2026, 2, 1)]
    table = pa.table({"id": [1, 2, 3], "day": days})
    file = lake.put("2026-01-01", "product", table, row_group_size=2)

    for command in ("plan", "load"):
        result = cli(command, "--source", lake.url, "--skip-search", "--skip-embeddings")
        fails(result, 1, f"file://{file}, row group 1, column 'day': public.product has no partition for 2026-02-01")
    with database.connect(autocommit=True) as conn:
        conn.execute("create table p2 partition of product default")
    assert load(cli, lake.url)["product", "import"]["inserted"] == 3


@pytest.mark.long
def test_rows_that_fit_no_page(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """L21: of rows of any size each that is too large is named by file, row group and row, and can be rejected."""
    large = {1050: 40, 1051: 4000, 1150: 40, 1199: 40}  # rows of 20 kB and of 2 MB, by the bytes of each value
    wide = {f"c{n}": ["x"] * 1200 for n in range(500)}
    for row, size in large.items():
        for values in wide.values():
            values[row] = random.Random(size).randbytes(size // 2).hex()
    table = pa.table({"id": range(1200)} | wide)
    file = lake.put("2026-01-01", "product", table, row_group_size=1100)
    command = ("load", "--source", lake.url, "--skip-search", "--skip-embeddings")
    configure(key=["id"])
    fails(cli(*command), 1, f"file://{file}, row group 0, row 1050: row is too big: size")

    configure(key=["id"], bad_values="reject", max_rejected=3)
    fails(cli(*command), 1, f"file://{file}, row group", "row is too big", "more than max_rejected = 3")

    configure(key=["id"], bad_values="reject", max_rejected=4)
    assert cli(*command).code == 0
    found = rows(database, "select row_group, row_number, reason from pgpipe.rejected_row order by 1, 2")
    assert [row[:2] for row in found] == [(0, 1050), (0, 1051), (1, 50), (1, 99)]
    assert all("row is too big" in row[2] for row in found)
    assert rows(database, "select count(*) from product") == [(1196,)]


def test_a_footer_may_state_what_python_lacks(tmp_path: Path) -> None:
    """A date of a far year is no reason to fail: of such a row group nothing is known beforehand."""
    file = tmp_path / "far.parquet"
    days = pa.array([2**31 - 1, 20_000], pa.int32()).cast(pa.date32())
    pq.write_table(pa.table({"day": days}), file, row_group_size=1)

    assert list(extremes(pq.read_metadata(file), ["day"])) == [(1, "2024-10-04")] * 2
