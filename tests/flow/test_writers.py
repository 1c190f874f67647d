"""Files that other programs wrote: each of their types arrives with its values, or is refused by name."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Lake
from tests.flow.support import fails, load, rows, table

FIRST, LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)  # noqa: DTZ001 - they carry no zone
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
DIGITS = Decimal("123456789012345678901234567890123456.78")
ONE = UUID(int=7)
Expected = dict[str, tuple[str, Any]]  # by column: its type, and the value of the first row; the second is NULL


@pytest.fixture
def file(lake: Lake) -> Path:
    """Where a writer writes."""
    path = lake.path / "2026-01-01/thing/part-0.parquet"
    path.parent.mkdir(parents=True)
    return path


def check(cli: Cli, lake: Lake, database: Database, expected: Expected) -> None:
    """Load what was written, and compare types and values."""
    load(cli, lake.url, "--key", "k", "--skip-search")
    types = dict(
        rows(
            database,
            "select attname, format_type(atttypid, atttypmod) from pg_attribute"
            " where attrelid = 'thing'::regclass and attnum > 0 and attname <> 'k'",
        )
    )
    assert types == {name: sql for name, (sql, _) in expected.items()}
    first, second = (row for _, row in sorted(table(database, "thing", "k").items()))
    wrong = {n: (first[n], v) for n, (_, v) in expected.items() if first[n] != v and repr(first[n]) != repr(v)}  # NaN
    assert wrong == {}
    assert {name for name in expected if second[name] is not None} == set()


TIMESTAMP, TIMESTAMPTZ = "timestamp without time zone", "timestamp with time zone"


def polars_types() -> dict[str, tuple[Any, Any, str, Any]]:
    """Polars' type and value, the column's. What takes long to import is imported by the tests that use it."""
    import polars as pl

    return {
        "dec": (pl.Decimal(38, 2), DIGITS, "numeric(38,2)", DIGITS),
        "ms": (pl.Datetime("ms"), FIRST, TIMESTAMP, FIRST),
        "us": (pl.Datetime("us"), LAST, TIMESTAMP, LAST),
        "ns": (pl.Datetime("ns"), datetime(1969, 12, 31), TIMESTAMP, datetime(1969, 12, 31)),  # noqa: DTZ001
        "zone": (pl.Datetime("us", "Europe/Berlin"), NOON, TIMESTAMPTZ, NOON),
        "time": (pl.Time(), time(1, 2, 3, 4), "time without time zone", time(1, 2, 3, 4)),
        "span": (pl.Duration("us"), timedelta(1, -1), "interval", timedelta(1, -1)),
        "day": (pl.Date(), date(9999, 12, 31), "date", date(9999, 12, 31)),
        "category": (pl.Categorical(), "a", "text", "a"),
        "enum": (pl.Enum(["x", "y"]), "y", "text", "y"),
        "list": (pl.List(pl.Int16()), [1, None], "smallint[]", [1, None]),
        "categories": (pl.List(pl.Categorical()), ["a", None], "text[]", ["a", None]),
        "array": (pl.Array(pl.Float32(), 2), [1.5, 2.5], "real[]", [1.5, 2.5]),
        "struct": (pl.Struct({"a": pl.Int64(), "b": pl.String()}), {"a": 1, "b": "x"}, "jsonb", {"a": 1, "b": "x"}),
        "structs": (pl.List(pl.Struct({"t": pl.Date()})), [{"t": date(1, 1, 1)}], "jsonb", [{"t": "0001-01-01"}]),
        "bytes": (pl.Binary(), b"\0\xff", "bytea", b"\0\xff"),
        "bool": (pl.Boolean(), True, "boolean", True),
        "null": (pl.Null(), None, "text", None),
        "nulls": (pl.List(pl.Null()), [None], "jsonb", [None]),
        "struct_of_null": (pl.Struct({"a": pl.Null()}), {"a": None}, "jsonb", {"a": None}),
        "unsigned": (pl.UInt64(), 2**64 - 1, "numeric(20,0)", Decimal(2**64 - 1)),
        "text": (pl.String(), "naïve 🙂", "text", "naïve 🙂"),
    }


def test_polars(cli: Cli, lake: Lake, database: Database, file: Path) -> None:
    """Decimals, moments with units and zones, categories, enums, nested and null types."""
    import polars as pl

    types = polars_types()
    columns = {name: pl.Series([value, None], dtype=kind) for name, (kind, value, *_) in types.items()}
    pl.DataFrame({"k": [1, 2]} | columns).write_parquet(file)

    check(cli, lake, database, {name: (sql, value) for name, (_, _, sql, value) in types.items()})


def test_integers_of_128_bits_are_refused(cli: Cli, lake: Lake, file: Path) -> None:
    """Of Polars: one line that names the file."""
    import polars as pl

    pl.DataFrame({"k": pl.Series([2**100], dtype=pl.Int128)}).write_parquet(file)

    fails(cli("load", "--source", lake.url), 1, str(file), "64 bits")


DUCKDB: dict[str, tuple[str, str, Any]] = {  # DuckDB's expression, the column's type and value
    "dec": ("1.5::decimal(38,2)", "numeric(38,2)", Decimal("1.50")),
    "us": ("timestamp '0001-01-01 00:00:00'", TIMESTAMP, FIRST),
    "ns": ("timestamp_ns '2000-01-01 00:00:00.000000999'", TIMESTAMP, datetime(2000, 1, 1)),  # noqa: DTZ001
    "zone": ("timestamptz '2026-07-01 12:00:00+00'", TIMESTAMPTZ, NOON),
    "time": ("time '01:02:03.000004'", "time without time zone", time(1, 2, 3, 4)),
    "enum": ("'x'::enum('x', 'y')", "text", "x"),
    "list": ("[1, null]", "integer[]", [1, None]),
    "lists": ("[[1], []]", "jsonb", [[1], []]),
    "struct": ("{a: 1, b: 'x'}", "jsonb", {"a": 1, "b": "x"}),
    "map": ("map {'k': 1, 'n': null}", "jsonb", {"k": 1, "n": None}),
    "json": ("""'{"a": [1]}'::json""", "jsonb", {"a": [1]}),
    "bytes": (r"'\x00\xFF'::blob", "bytea", b"\0\xff"),
    "uuid": (f"'{ONE}'::uuid", "uuid", ONE),
    "uuids": (f"['{ONE}'::uuid, null]", "uuid[]", [ONE, None]),
    "bool": ("true", "boolean", True),
    "unsigned": ("18446744073709551615::ubigint", "numeric(20,0)", Decimal(2**64 - 1)),
    "day": ("date '9999-12-31'", "date", date(9999, 12, 31)),
    "nan": ("'nan'::double", "double precision", float("nan")),
    "text": ("'naïve 🙂'", "text", "naïve 🙂"),
    "span": ("interval '1 day'", "bytea", bytes([0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])),  # as Parquet keeps it
}


def test_duckdb(cli: Cli, lake: Lake, database: Database, file: Path) -> None:
    """Decimals, moments, enums, uuids, JSON, maps and the rest."""
    import duckdb

    columns = ", ".join(f"{said} as {name}" for name, (said, *_) in DUCKDB.items())
    nothing = ", ".join("null" for _ in DUCKDB)
    duckdb.sql(f"copy (select 1 as k, {columns} union all select 2, {nothing}) to '{file}' (format parquet)")

    check(cli, lake, database, {name: (sql, value) for name, (_, sql, value) in DUCKDB.items()})


def frame() -> pd.DataFrame:
    """What pandas and fastparquet both write."""
    return pd.DataFrame({
        "k": [1, 2],
        "at": pd.array([np.datetime64("2200-01-01T00:00:00.000001", "ns"), None], dtype="datetime64[ns]"),
        "category": pd.Categorical(["a", None]),
        "n": pd.array([1, None], dtype="Int64"),
        "flag": pd.array([True, None], dtype="boolean"),
        "f": [1.5, None],
        "t": ["naïve", None],
        "bytes": [b"\0\xff", None],
    })  # fmt: skip


SHARED: Expected = {
    "at": (TIMESTAMP, datetime(2200, 1, 1, 0, 0, 0, 1)),  # noqa: DTZ001
    "category": ("text", "a"),
    "n": ("bigint", 1),
    "flag": ("boolean", True),
    "f": ("double precision", 1.5),
    "t": ("text", "naïve"),
    "bytes": ("bytea", b"\0\xff"),
}


@pytest.mark.parametrize("times", ["int64", "int96"])
def test_fastparquet(cli: Cli, lake: Lake, database: Database, file: Path, times: str) -> None:
    """L1: also with timestamps of 96 bits."""
    import fastparquet

    encoded = {"t": "utf8", "bytes": "bytes", "doc": "json"}
    documents = frame().assign(doc=[{"a": 1}, None])
    fastparquet.write(str(file), documents, times=times, object_encoding=encoded)

    check(cli, lake, database, SHARED | {"doc": ("jsonb", {"a": 1})})


def test_pandas(cli: Cli, lake: Lake, database: Database, file: Path) -> None:
    """With pyarrow: nullable types, zones, spans, periods, intervals, objects of all kinds."""
    more = frame().assign(
        zone=pd.array([NOON, None], dtype="datetime64[us, Europe/Berlin]"),
        span=pd.to_timedelta(["1 days", None]),
        period=pd.PeriodIndex(["1970-03", None], freq="M"),
        interval=pd.arrays.IntervalArray.from_tuples([(0, 1), None]),
        list=[[1, 2], None],
        struct=[{"a": [{"t": "x"}]}, None],
        dec=[Decimal("1.5"), None],
        day=[date(1, 1, 1), None],
        time=[time(1, 2, 3), None],
        null=[None, None],
        arrow=pd.array([["a"], None], dtype=pd.ArrowDtype(pa.list_(pa.string_view()))),
    )
    more.to_parquet(file)

    check(cli, lake, database, SHARED | {
        "zone": (TIMESTAMPTZ, NOON),
        "span": ("interval", timedelta(1)),
        "period": ("bigint", 2),  # months since 1970
        "interval": ("jsonb", {"left": 0.0, "right": 1.0}),
        "list": ("bigint[]", [1, 2]),
        "struct": ("jsonb", {"a": [{"t": "x"}]}),
        "dec": ("numeric(2,1)", Decimal("1.5")),
        "day": ("date", date(1, 1, 1)),
        "time": ("time without time zone", time(1, 2, 3)),
        "null": ("text", None),
        "arrow": ("text[]", ["a"]),
    })  # fmt: skip


def test_null_types_at_each_depth(cli: Cli, lake: Lake, database: Database) -> None:
    """A list, a struct and a map of nothing are JSON; a field twice in a struct is refused by name."""
    nothing = {
        "list": pa.array([[None], []], pa.list_(pa.null())),
        "struct": pa.array([{"a": None}, None], pa.struct({"a": pa.null()})),
        "map": pa.array([[("k", None)], None], pa.map_(pa.string(), pa.null())),
        "deep": pa.array([[{"a": [None]}], None], pa.list_(pa.struct({"a": pa.list_(pa.null())}))),
    }
    lake.put("2026-01-01", "thing", pa.table({"k": [1, 2]} | nothing))
    load(cli, lake.url, "--key", "k", "--skip-search")
    first, second = (row for _, row in sorted(table(database, "thing", "k").items()))
    assert first == {"k": 1, "list": [None], "struct": {"a": None}, "map": {"k": None}, "deep": [{"a": [None]}]}
    assert second == {"k": 2, "list": [], "struct": None, "map": None, "deep": None}

    twins = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    lake.put("2026-01-02", "thing", pa.table({"k": [1], "twins": twins}))
    fails(cli("load", "--source", lake.url, "--key", "k"), 1, "part-0.parquet", "'twins'", "no PostgreSQL type holds")
