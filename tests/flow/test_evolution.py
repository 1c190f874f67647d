"""Schemas that change from one date to the next: columns come, go and widen; anything else is refused by name."""

from decimal import Decimal

import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Lake
from tests.flow.support import counts, fails, load, rows, table, versions

KINDS = """
    select attname, format_type(atttypid, atttypmod) from pg_attribute
     where attrelid = %s::regclass and attnum > 0 and not attisdropped and attgenerated = ''
"""


def kinds(database: Database, name: str) -> dict[str, str]:
    """The columns of a table and their types."""
    return dict(rows(database, KINDS, name))


def products(count: int, **more: list) -> pa.Table:
    """Rows numbered from 1, with further columns."""
    return pa.table({"id": list(range(1, count + 1)), "name": [f"n{n}" for n in range(count)]} | more)


def test_a_new_column_of_a_snapshot_rewrites_few_rows(cli: Cli, lake: Lake, database: Database) -> None:
    """Rows that share the column's most common value keep their version; the others get theirs."""
    colours = ["red"] * 6 + ["blue", None]
    lake.put("2026-01-01", "product", products(9))
    lake.put("2026-01-02", "product", products(8, colour=colours, weight=[1.5] * 8))
    load(cli, lake.url, "--date", "2026-01-01", "--key", "id", "--mode", "snapshot")
    before = versions(database, "product", "id")

    stage = load(cli, lake.url, "--key", "id", "--mode", "snapshot")["product", "import"]

    assert counts(stage) == (0, 0, 1, 8)
    assert stage["note"] == "new column colour; new column weight; 2 rows written to fill it"
    found = table(database, "product", "id")
    assert [found[n]["colour"] for n in range(1, 9)] == colours
    assert {row["weight"] for row in found.values()} == {1.5}
    after = versions(database, "product", "id")
    assert {n for n in after if after[n] == before[n]} == {1, 2, 3, 4, 5, 6}
    assert rows(database, "select count(*) from pg_attrdef d where d.adrelid = 'product'::regclass") == [(0,)]


def test_a_new_column_of_an_upsert_is_null_elsewhere(cli: Cli, lake: Lake, database: Database) -> None:
    """Rows that the files do not have know nothing of it, and are not written."""
    lake.put("2026-01-01", "product", products(3))
    lake.put("2026-01-02", "product", products(2, colour=["red", "red"]))
    load(cli, lake.url, "--date", "2026-01-01", "--key", "id")
    before = versions(database, "product", "id")

    load(cli, lake.url)

    assert {n: row["colour"] for n, row in table(database, "product", "id").items()} == {1: "red", 2: "red", 3: None}
    assert versions(database, "product", "id")[3] == before[3]


def test_a_new_column_of_an_append_is_null_in_older_rows(cli: Cli, lake: Lake, database: Database) -> None:
    """What was there before had no value of it."""
    lake.put("2026-01-01", "log", products(1))
    lake.put("2026-01-02", "log", products(1, colour=["red"]))
    load(cli, lake.url, "--date", "2026-01-01")

    load(cli, lake.url, "--mode", "append")

    assert rows(database, "select colour from log order by pgpipe_row") == [(None,), ("red",)]


def test_a_missing_column_is_null(cli: Cli, lake: Lake, database: Database) -> None:
    """In new rows, and in rows of a file that lacks what another file has; values that are there already stay."""
    lake.put("2026-01-01", "product", products(2, colour=["red", "blue"]))
    lake.put("2026-01-02", "product", products(3))
    lake.put("2026-01-03", "product", products(1, colour=["green"]), "a.parquet")
    lake.put("2026-01-03", "product", pa.table({"id": [2, 3]}), "b.parquet")
    load(cli, lake.url, "--date", "2026-01-01", "--key", "id")

    load(cli, lake.url, "--date", "2026-01-02")
    second = table(database, "product", "id")
    load(cli, lake.url)
    third = table(database, "product", "id")

    assert [second[n]["colour"] for n in (1, 2, 3)] == ["red", "blue", None]
    assert [(third[n]["colour"], third[n]["name"]) for n in (1, 2, 3)] == [("green", "n0"), (None, None), (None, None)]


WIDER = [
    (pa.int32(), pa.int64(), 2**40, "bigint"),
    (pa.int64(), pa.uint64(), 2**64 - 1, "numeric(20,0)"),
    (pa.int32(), pa.decimal128(6, 2), 3, "numeric(12,2)"),
    (pa.float32(), pa.float64(), 0.1, "double precision"),
    (pa.int64(), pa.int32(), 3, "bigint"),
    (pa.null(), pa.string(), "x", "text"),
]


@pytest.mark.parametrize(("old", "new", "value", "kind"), WIDER, ids=[f"{o} to {n}" for o, n, _, _ in WIDER])
@pytest.mark.parametrize("mode", ["snapshot", "append"])
def test_a_type_is_widened(
    cli: Cli, lake: Lake, database: Database, mode: str, old: pa.DataType, new: pa.DataType, value: object, kind: str
) -> None:
    """The column becomes what holds both; rows that are the same stay the same."""
    same = [None, None] if old == pa.null() else [1, 2]
    lake.put("2026-01-01", "product", products(2, v=pa.array(same, old)))
    lake.put("2026-01-02", "product", products(3, v=typed([*same, value], new)))
    extra = products(1, v=typed([value], new)).set_column(0, "id", pa.array([9]))
    lake.put("2026-01-02", "product", extra, "extra.parquet")
    options = ["--mode", mode, *(["--key", "id"] if mode == "snapshot" else [])]
    load(cli, lake.url, "--date", "2026-01-01", *options)

    stage = load(cli, lake.url, *options)["product", "import"]

    assert kinds(database, "product")["v"] == kind
    assert table(database, "product", "id")[9]["v"] == value
    if mode == "snapshot" and old != pa.null():
        assert counts(stage) == (2, 0, 0, 2)


def typed(values: list, kind: pa.DataType) -> pa.Array:
    """An array of numbers; Arrow makes a decimal of nothing but a decimal."""
    return pa.array([Decimal(v) if pa.types.is_decimal(kind) and v is not None else v for v in values], kind)


def test_a_widened_key_keeps_its_vectors_up_to_date(cli: Cli, lake: Lake, database: Database) -> None:
    """The store's copy of the key is widened with it, and that of the filter table."""
    embed = "{columns = ['name'], filters = ['id', 'name']}"
    (lake.path.parent / "pgpipe.toml").write_text(f"[entity.product]\nkey = ['id']\nembed = {embed}\n")
    small, large = pa.array([1], pa.int32()), pa.array([2**40], pa.int64())
    lake.put("2026-01-01", "product", products(1).set_column(0, "id", small))
    lake.put("2026-01-02", "product", products(1).set_column(0, "id", large))
    load(cli, lake.url, "--date", "2026-01-01", embed=True)

    load(cli, lake.url, embed=True)

    tables = "product", "product_embedding", "product_embedding_filter"
    assert [kinds(database, name)["id"] for name in tables] == ["bigint"] * 3
    assert "name" in kinds(database, "product_embedding_filter")
    assert rows(database, "select key from pgpipe.job order by key") == [({"id": 1},), ({"id": 2**40},)]


@pytest.mark.parametrize("mode", ["snapshot", "upsert", "append"])
def test_a_load_that_fails_leaves_the_old_shape(cli: Cli, lake: Lake, database: Database, mode: str) -> None:
    """Columns change in the transaction that brings the rows: a constraint that refuses these refuses both."""
    lake.put("2026-01-01", "product", products(2, v=[1, 2]))
    options = ["--mode", mode, *(["--key", "id"] if mode != "append" else [])]
    load(cli, lake.url, *options)
    with database.connect(autocommit=True) as conn:
        conn.execute("alter table product add constraint low check (v < 10)")
    before = kinds(database, "product"), versions(database, "product", "id")
    lake.put("2026-01-02", "product", products(2, v=pa.array([11, 2**64 - 1], pa.uint64()), extra=["a", "b"]))

    result = cli("load", "--source", lake.url, *options, "--skip-embeddings", "--json")

    fails(result, 1, 'violates check constraint "low"')
    assert (kinds(database, "product"), versions(database, "product", "id")) == before


REFUSED = [
    (pa.array([1.5, 2.5]), "double precision"),
    (pa.array(["a", "b"]), "text"),
    (pa.array([[1], [2]]), "bigint[]"),
    (pa.array([{"a": 1}, {"a": 2}]), "jsonb"),
]


@pytest.mark.parametrize(("values", "kind"), REFUSED, ids=[kind for _, kind in REFUSED])
@pytest.mark.parametrize("mode", ["snapshot", "append"])
def test_what_cannot_be_widened_is_refused(
    cli: Cli, lake: Lake, database: Database, mode: str, values: pa.Array, kind: str
) -> None:
    """By name, before the first byte: every such column, its type and the target's; what was there stays."""
    options = ["--mode", mode, *(["--key", "id"] if mode == "snapshot" else []), "--skip-embeddings", "--json"]
    lake.put("2026-01-01", "product", products(2, size=[1, 2], other=[1, 2]))
    load(cli, lake.url, *options[:-2])
    before = versions(database, "product", "id")
    lake.put("2026-01-02", "product", products(2, size=values, other=values, extra=[1, 2]))

    result = cli("load", "--source", lake.url, *options)

    line = fails(result, 1, f"product: 'size' is {kind} in the files but bigint in the target; 'other' is {kind}")
    assert line.startswith("pgpipe: product: ")
    assert versions(database, "product", "id") == before
    assert "extra" not in kinds(database, "product")
    assert rows(database, "select count(*) from pgpipe.load") == [(1,)]


def test_two_files_that_do_not_agree_are_both_named(cli: Cli, lake: Lake, database: Database) -> None:
    """Nothing is made of them."""
    lake.put("2026-01-01", "product", products(1, size=["1"]), "a.parquet")
    lake.put("2026-01-01", "product", products(1, size=[1]), "b.parquet")

    result = cli("load", "--source", lake.url, "--key", "id", "--json")

    fails(result, 1, "column 'size' is bigint in", "b.parquet but text in", "a.parquet")
    assert rows(database, "select to_regclass('product')") == [(None,)]
