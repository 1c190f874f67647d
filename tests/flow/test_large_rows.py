"""Rows that the target's storage has no place for: no partition, too large a row, too long a key. Each is named."""

import random

import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import fails, load, rows

KEY = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789+-=.,:;<>()[]{}|", k=4000))
PARTS = """
    create table product (id bigint, day bigint) partition by range (day);
    create table p1 partition of product for values from (0) to (10);
    create table p2 partition of product for values from (10) to (20) partition by list (day);
    create table p3 partition of p2 for values in (11, 12); create unique index on product (id, day)
"""
WIDE = f"create table product (id bigint primary key, {', '.join(f'c{n} text' for n in range(700))})"
INDEXED = "create table product (id bigint primary key, v text); create index on product (v)"
WIDE_ROWS = pa.table({"id": [1, 2]} | {f"c{n}": ["x", f"{n:020}"] for n in range(700)})


@pytest.mark.parametrize("mode", ["append", "upsert"])
@pytest.mark.parametrize(
    ("ddl", "table", "parts"),
    [
        (PARTS, pa.table({"id": [1, 2, 3, 4], "day": [1, 12, 77, None]}), ["row 2", "no partition of"]),
        (WIDE, WIDE_ROWS, ["among the 1,000 rows up to row 1: row is too big: size"]),
        (INDEXED, pa.table({"id": [1, 2], "v": ["x", KEY]}), ["row 1"]),
        ("create table product (id text primary key)", pa.table({"id": ["x", KEY]}), ["row 1"]),
        ("", pa.table({"id": ["x", KEY]}), ["row 1, column 'id': a value of 4,000 bytes, and an index on this column"]),
    ],
    ids=["partition", "wide", "index", "key", "new"],
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

    if mode == "upsert" and table is not WIDE_ROWS:
        configure(key=["id"], mode=mode, bad_values="reject")
        stage = load(cli, lake.url)["product", "import"]
        assert stage["rejected"] == table.num_rows - stage["inserted"] > 0
        assert rows(database, "select count(*) from product") == [(stage["inserted"],)]
