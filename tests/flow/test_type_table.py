"""The table of types in docs/loading.md: each row of it goes from Parquet through COPY into PostgreSQL and back."""

from decimal import Decimal
from itertools import pairwise

import pyarrow as pa
import pytest

from pgpipe.db import Database
from pgpipe.load.rows import read
from pgpipe.load.rows.bad_values import clear
from pgpipe.load.rows.convert import convert
from pgpipe.load.types import sql_type, storage
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import load, rows, table
from tests.flow.type_table import KINDS, ROWS, array, back, in_json, same, values


def test_the_table_is_what_sql_type_says() -> None:
    """Row by row; `numeric(p,s)` with the digits of the type."""
    for kind, sql in ROWS:
        digits = storage(kind)
        expected = {
            "numeric(p,s)": lambda d=digits: f"numeric({d.precision},{d.scale})",
            "as its values": lambda k=kind: sql_type(k.value_type),
            "an array of its elements": lambda k=kind: f"{sql_type(k.field(0).type)}[]",
        }
        assert sql_type(kind) == (expected[sql]() if sql in expected else sql), kind


def test_the_table_leaves_nothing_out() -> None:
    """Every kind of Arrow type, but those that pyarrow writes to no Parquet file."""
    all_of = {getattr(pa.lib, name): name.removeprefix("Type_") for name in dir(pa.lib) if name.startswith("Type_")}

    lacking = {name for id_, name in all_of.items() if id_ not in {kind.id for kind in KINDS}}

    assert lacking - {"EXTENSION"} == {
        *("INTERVAL_DAY_TIME", "INTERVAL_MONTHS", "INTERVAL_MONTH_DAY_NANO", "RUN_END_ENCODED"),
        *("DENSE_UNION", "SPARSE_UNION"),
    }


def test_numbers_in_json_keep_all_their_digits(cli: Cli, lake: Lake, database: Database) -> None:
    """Also those that no binary float can say."""
    digits = Decimal("99999999999999999999999999999999999.999")
    docs = pa.array([{"n": digits, "f": 0.1}], pa.struct({"n": pa.decimal128(38, 3), "f": pa.float32()}))
    lake.put("2026-01-01", "thing", pa.table({"doc": docs}))

    load(cli, lake.url)

    assert rows(database, "select doc ->> 'n', doc ->> 'f' from thing") == [(str(digits), "0.1")]


@pytest.mark.parametrize("group", [3, 1000], ids=["several row groups", "one row group"])
def test_every_row_of_the_table_comes_back(
    cli: Cli, lake: Lake, database: Database, monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    """Extreme values, NULL, empty, in batches that are slices; and read once more they are unchanged."""
    monkeypatch.setattr(read, "BATCH_ROWS", 2)
    arrays = {f"c{n}": array(kind) for n, kind in enumerate(KINDS)}
    count = max(map(len, arrays.values()))
    filled = {n: pa.concat_arrays([a, pa.nulls(count - len(a), a.type)]) for n, a in arrays.items()}
    numbers = {"key": pa.array(range(count))}
    lake.put("2026-01-01", "thing", pa.table(numbers | filled), row_group_size=group)

    stage = load(cli, lake.url, "--key", "key", "--mode", "snapshot", "--skip-search")["thing", "import"]

    assert stage["inserted"] == count
    found = table(database, "thing", "key")
    for n, kind in enumerate(KINDS):
        plain = [None, *(v for value in values(kind) for v in (value, None))]
        expected = [back(kind, v) for v in plain] + [None] * (count - len(plain))
        got = [found[key][f"c{n}"] for key in range(count)]
        assert same(got, expected), (kind, [(g, e) for g, e in zip(got, expected, strict=True) if not same(g, e)])
    lake.put("2026-01-02", "thing", pa.table(numbers | filled), row_group_size=4)
    stage = load(cli, lake.url, "--key", "key", "--mode", "snapshot", "--skip-search")["thing", "import"]
    assert (stage["unchanged"], stage["updated"]) == (count, 0)


def test_a_file_without_rows_makes_the_columns(cli: Cli, lake: Lake, database: Database) -> None:
    """Of every row of the table, with its type."""
    lake.put("2026-01-01", "thing", pa.table({f"c{n}": array(kind).slice(0, 0) for n, kind in enumerate(KINDS)}))

    load(cli, lake.url, "--skip-search")

    kinds = dict(
        rows(
            database,
            "select attname, format_type(atttypid, atttypmod) from pg_attribute"
            " where attrelid = 'thing'::regclass and attnum > 0",
        )
    )
    assert {n: kinds[f"c{n}"] for n in range(len(KINDS))} == {n: sql_type(kind) for n, kind in enumerate(KINDS)}


@pytest.mark.parametrize("kind", KINDS, ids=map(str, KINDS))
def test_a_slice_travels_as_the_whole_does(kind: pa.DataType) -> None:
    """Wherever it begins and ends: every value has the bytes that it has alone."""
    sql = sql_type(kind)
    assert sql
    whole = array(kind)
    travels = convert(whole, sql).to_pylist()

    for start, end in [*pairwise(range(len(whole))), (1, len(whole)), (0, 2), (2, 2)]:
        assert same(convert(whole.slice(start, end - start), sql).to_pylist(), travels[start:end])


def test_a_row_of_any_types_can_be_rejected(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """With all its values, where another column's is bad; NULL takes the place of a value of any type."""
    configure(bad_values="reject", search=False)
    columns = {f"c{n}": array(kind).slice(0, 3) for n, kind in enumerate(KINDS)}
    lake.put("2026-01-01", "product", pa.table({"id": [1, 2, 3], "bad": ["", "\0", ""]} | columns))

    load(cli, lake.url)

    ((row,),) = rows(database, "select row from pgpipe.rejected_row")
    assert row["id"] == 2
    assert row.keys() == {"id", "bad", *columns}
    assert [
        n for n, kind in enumerate(KINDS) if (row[f"c{n}"] is None) != (in_json(kind, values(kind)[0]) is None)
    ] == []
    for kind in KINDS:
        cleared = clear(array(kind), [1, 2])
        assert (cleared.type, cleared.slice(0, 3).null_count) == (kind, 3)
