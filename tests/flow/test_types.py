"""Every type that a column may have, from Parquet through COPY into PostgreSQL and back."""

import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Lake
from tests.flow.support import load, rows, table

ONE = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
MOMENT = datetime(1969, 12, 31, 23, 59, 59, 999_999)  # noqa: DTZ001 - a column without time zone
NESTED = pa.struct({"n": pa.int64(), "list": pa.list_(pa.string()), "at": pa.timestamp("ns", "UTC")})
CASES: dict[str, tuple[pa.DataType, list, list | None]] = {  # name: type, values, what comes back where it differs
    "bool": (pa.bool_(), [True, False], None),
    "i8": (pa.int8(), [-128, 127], None),
    "u8": (pa.uint8(), [0, 255], None),
    "i16": (pa.int16(), [-(2**15), 2**15 - 1], None),
    "u16": (pa.uint16(), [0, 2**16 - 1], None),
    "i32": (pa.int32(), [-(2**31), 2**31 - 1], None),
    "u32": (pa.uint32(), [0, 2**32 - 1], None),
    "i64": (pa.int64(), [-(2**63), 2**63 - 1], None),
    "u64": (pa.uint64(), [2**63, 2**64 - 1], None),
    "f16": (pa.float16(), [0.5, -2.0], None),
    "f32": (pa.float32(), [0.5, float("inf")], None),
    "f64": (pa.float64(), [0.1, -1e308], None),
    "d32": (pa.decimal32(5, 2), [Decimal("1.50"), Decimal("-999.99")], None),
    "d128": (pa.decimal128(38, 10), [Decimal("0.0000000001"), Decimal(10**27)], None),
    "d256": (pa.decimal256(38, 0), [Decimal(10**37), Decimal(-1)], None),
    "text": (pa.string(), ["naïve 🙂 \\N \t\n", ""], None),
    "large": (pa.large_string(), ["a", "b" * 100_000], None),
    "kind": (pa.dictionary(pa.int8(), pa.string()), ["x", "y"], None),
    "bytes": (pa.binary(), [b"\0\xff", b""], None),
    "fixed": (pa.binary(3), [b"abc", b"\0\0\0"], None),
    "day": (pa.date32(), [date(1, 1, 1), date(9999, 12, 31)], None),
    "day64": (pa.date64(), [date(1969, 12, 31), date(2026, 1, 1)], None),
    "time": (pa.time32("ms"), [time(23, 59, 59, 999_000), time(0)], None),
    "time64": (pa.time64("ns"), [time(1, 2, 3, 4), time(0)], None),
    "at": (pa.timestamp("ns"), [MOMENT, datetime(2262, 1, 1)], None),  # noqa: DTZ001 - without time zone
    "atz": (pa.timestamp("us", "Europe/Berlin"), [MOMENT.replace(tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)], None),
    "span": (pa.duration("ms"), [timedelta(days=-1), timedelta(milliseconds=1)], None),
    "id": (pa.uuid(), [ONE.bytes, bytes(16)], [ONE, uuid.UUID(int=0)]),
    "json": (pa.json_(), ['{"a": [1, null]}', "[]"], [{"a": [1, None]}, []]),
    "ints": (pa.list_(pa.int32()), [[1, None, 3], []], None),
    "texts": (pa.large_list(pa.string()), [["a", None], ["{,}"]], None),
    "floats": (pa.list_(pa.float32(), 2), [[0.5, 1.5], [2.5, None]], None),
    "exacts": (pa.list_(pa.decimal128(4, 1)), [[Decimal("1.5"), None], []], None),
    "bigs": (pa.list_(pa.uint64()), [[2**64 - 1], [0, None]], None),
    "moments": (pa.list_(pa.timestamp("ms", "UTC")), [[datetime(1999, 1, 1, tzinfo=UTC), None], []], None),
    "locals": (pa.list_(pa.timestamp("ns")), [[MOMENT], [None]], None),
    "days": (pa.list_(pa.date64()), [[date(2026, 1, 1), None], []], None),
    "spans": (pa.list_(pa.duration("us")), [[timedelta(1)], [None]], None),
    "blobs": (pa.list_(pa.binary()), [[b"\0"], [None]], None),
    "flags": (pa.list_(pa.bool_()), [[True, None], [False]], None),
    "deep": (pa.list_(pa.list_(pa.int8())), [[[1], None, []], []], None),
    "row": (
        NESTED,
        [{"n": 2**63 - 1, "list": ["a", None], "at": datetime(2026, 1, 1, tzinfo=UTC)}, {}],
        [
            {"n": 2**63 - 1, "list": ["a", None], "at": "2026-01-01T00:00:00.000000000Z"},
            {"n": None, "list": None, "at": None},
        ],
    ),
    "map": (pa.map_(pa.string(), pa.float64()), [[("a", float("nan")), ("b", 1.5)], []], [{"a": None, "b": 1.5}, {}]),
    "none": (pa.null(), [None, None], None),
}


@pytest.mark.parametrize("group", [1, 100], ids=["a row a group", "one group"])
def test_every_type_comes_back(cli: Cli, lake: Lake, database: Database, group: int) -> None:
    """The values that went in, NULL among them, whatever the row groups."""
    columns = {name: pa.array([values[0], None, values[1]], kind) for name, (kind, values, _) in CASES.items()}
    lake.put("2026-01-01", "thing", pa.table({"key": pa.array([1, 2, 3])} | columns), row_group_size=group)

    stage = load(cli, lake.url, "--key", "key")["thing", "import"]

    assert stage["inserted"] == 3
    found = table(database, "thing", "key")
    for name, (_, values, back) in CASES.items():
        first, second = back or values
        assert [found[key][name] for key in (1, 2, 3)] == [first, None, second], name


def test_a_second_load_sees_no_difference(cli: Cli, lake: Lake) -> None:
    """What is stored equals what is staged, for every type: nothing is updated for being read twice."""
    columns = {name: pa.array([values[0], None, values[1]], kind) for name, (kind, values, _) in CASES.items()}
    numbers = {"key": pa.array([1, 2, 3])}
    file = lake.put("2026-01-01", "thing", pa.table(numbers | columns))
    load(cli, lake.url, "--key", "key", "--mode", "snapshot")
    lake.put("2026-01-02", "thing", pa.table(numbers | columns), row_group_size=2)

    stage = load(cli, lake.url, "--key", "key", "--mode", "snapshot")["thing", "import"]

    assert file.read_bytes() != (lake.path / "2026-01-02/thing/part-0.parquet").read_bytes()
    assert (stage["state"], stage["read"], stage["unchanged"], stage["updated"]) == ("ok", 3, 3, 0)


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
