"""Types that differ between the files of a date, between row groups and between batches."""

import pyarrow as pa
import pyarrow.parquet as pq

from pgpipe.db import Database
from tests.conftest import Cli, Lake
from tests.flow.support import load, rows, table

WIDTHS = [pa.int8(), pa.int64(), pa.uint16(), pa.uint64(), pa.decimal128(6, 2)]


def test_files_may_differ_in_their_widths(cli: Cli, lake: Lake, database: Database) -> None:
    """Over one connection and over several, each value arrives in the column that holds them all."""
    for n, kind in enumerate(WIDTHS):
        lists = pa.array([[n], None, []], pa.list_([pa.int16(), pa.int32(), pa.int64()][n % 3]))
        numbers = pa.array([n, None, n], pa.int64()).cast(pa.decimal128(21, 2) if n == 4 else kind).cast(kind)
        keys = pa.array([f"{n}a", f"{n}b", f"{n}c"])
        lake.put("2026-01-01", "one", pa.table({"k": keys, "n": numbers, "l": lists}), f"{n}.parquet", row_group_size=2)

    load(cli, lake.url, "--key", "k", "--jobs", "1")
    lake.path.joinpath("2026-01-01/one").rename(lake.path / "2026-01-01/many")
    load(cli, lake.url, "--key", "k", "--jobs", "3")

    for name in ("one", "many"):
        kinds = dict(
            rows(
                database,
                "select attname, format_type(atttypid, atttypmod) from pg_attribute"
                " where attrelid = %s::regclass and attnum > 0 and attgenerated = ''",
                name,
            )
        )
        assert kinds == {"k": "text", "n": "numeric(22,2)", "l": "bigint[]"}
        found = table(database, name, "k")
        assert len(found) == 15
        for n in range(5):
            assert [found[f"{n}{x}"]["n"] for x in "abc"] == [n, None, n]
            assert [found[f"{n}{x}"]["l"] for x in "abc"] == [[n], None, []]


def test_dictionaries_may_differ_between_row_groups(cli: Cli, lake: Lake, database: Database) -> None:
    """A column that is a dictionary in one row group and plain in the next is the same text."""
    file = lake.path / "2026-01-01/word/0.parquet"
    file.parent.mkdir(parents=True)
    kind = pa.dictionary(pa.int32(), pa.string())
    with pq.ParquetWriter(file, pa.schema({"k": pa.int32(), "w": kind})) as writer:
        for n in range(3):
            words = pa.array([f"w{n}", None, f"w{n}"]).dictionary_encode()
            writer.write_table(pa.table({"k": pa.array([3 * n, 3 * n + 1, 3 * n + 2], pa.int32()), "w": words}))

    load(cli, lake.url, "--key", "k")

    words = [row["w"] for _, row in sorted(table(database, "word", "k").items())]
    assert words == ["w0", None, "w0", "w1", None, "w1", "w2", None, "w2"]


def test_many_rows_in_many_batches(cli: Cli, lake: Lake, database: Database) -> None:
    """A row group larger than a batch is cut without loss; its lists are slices of a larger array."""
    count = 150_000
    keys = pa.array(range(count), pa.int32())
    lists = pa.array([None if n % 7 == 0 else [n, n + 1] for n in range(count)], pa.list_(pa.int64()))
    lake.put("2026-01-01", "many", pa.table({"k": keys, "l": lists, "e": lists.cast(pa.list_(pa.int32()))}))

    load(cli, lake.url, "--key", "k")

    assert rows(
        database,
        "select count(*), sum(k), count(l), sum(l[1]), sum(l[2]), count(*) filter (where l::int[] = e) from many",
    ) == [
        (
            count,
            count * (count - 1) // 2,
            (present := sum(n % 7 != 0 for n in range(count))),
            (first := sum(n for n in range(count) if n % 7)),
            first + present,
            present,
        )
    ]
