"""Timestamps in 96 bits, as Spark, Impala and awswrangler write them."""

import struct
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import REJECTED, fails, load, rows, table

FIRST, LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)  # noqa: DTZ001 - they carry no zone
MARK = datetime(2001, 2, 3, 0, 0, 0, 4)  # noqa: DTZ001
JULIAN_1970 = 2_440_588
PLAIN = {"use_deprecated_int96_timestamps": True, "use_dictionary": False, "compression": "none"}


def test_the_first_and_the_last_year_at_every_depth(cli: Cli, lake: Lake, database: Database) -> None:
    """L1: the instants of year 1 and 9999 are read, in a column and in lists, structs and maps."""
    moments = [FIRST, None, LAST]
    columns = pa.table({
        "k": [1, 2, 3],
        "at": pa.array(moments, pa.timestamp("us")),
        "many": pa.array([[m, None] for m in moments], pa.list_(pa.timestamp("us"))),
        "doc": pa.array([{"a": [m]} for m in moments], pa.struct({"a": pa.list_(pa.timestamp("us"))})),
        "map": pa.array([[("x", m)] for m in moments], pa.map_(pa.string(), pa.timestamp("us"))),
    })  # fmt: skip
    lake.put("2026-01-01", "thing", columns, use_deprecated_int96_timestamps=True)

    load(cli, lake.url, "--key", "k", "--skip-search")

    texts = ["0001-01-01T00:00:00.000000", None, "9999-12-31T23:59:59.999999"]
    found = [row for _, row in sorted(table(database, "thing", "k").items())]
    assert [row["at"] for row in found] == moments
    assert [row["many"] for row in found] == [[m, None] for m in moments]
    assert [row["doc"] for row in found] == [{"a": [text]} for text in texts]
    assert [row["map"] for row in found] == [{"x": text} for text in texts]


def beyond(file: Path, day: int) -> None:
    """Put another day in the place of MARK's."""
    days = (MARK - datetime(1970, 1, 1)).days + JULIAN_1970  # noqa: DTZ001
    old, new = (struct.pack("<QI", 4000, n) for n in (days, day))
    content = file.read_bytes()
    assert content.count(old) == 2
    file.write_bytes(content.replace(old, new))


@pytest.mark.parametrize("day", [JULIAN_1970 + 106_751_992, 112_000_000, 2**31, 2**32 - 1])
def test_a_day_that_no_calendar_has(cli: Cli, lake: Lake, database: Database, configure: Configure, day: int) -> None:
    """L1: a day beyond what 64 bits of microseconds hold is a bad value with its policy, also within a struct."""
    thing = pa.table({
        "id": [1, 2, 3],
        "at": pa.array([LAST, MARK, FIRST], pa.timestamp("us")),
        "doc": pa.array([{"a": LAST}, {"a": FIRST}, {"a": MARK}], pa.struct({"a": pa.timestamp("us")})),
    })  # fmt: skip
    beyond(lake.put("2026-01-01", "product", thing, **PLAIN), day)
    configure(key=["id"])
    fails(cli("load", "--source", lake.url), 1, "product/part-0.parquet, row group 0, row 1, column 'at'", "range")
    configure(key=["id"], bad_values="reject")

    load(cli, lake.url)

    assert rows(database, "select id, at, doc ->> 'a' from product") == [(1, LAST, LAST.isoformat())]
    assert [row[2:4] for row in rows(database, REJECTED)] == [(1, "at"), (2, "doc")]
