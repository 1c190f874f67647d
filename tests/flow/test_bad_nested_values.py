"""Bad values within JSON, nested types and numbers."""

import pyarrow as pa

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import REJECTED, fails, load, rows, table
from tests.flow.test_bad_values import BYTES, some_bad


def test_json_that_postgresql_refuses(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Found by the server, named by file and row; then found here, and stripped, cleared or rejected."""
    texts = ['{"a": 1}', "{", r'{"a": "b\u0000c \\u0000"}', r'{"a": "\ud800"}', None]
    file = lake.put("2026-01-01", "product", pa.table({"id": range(5), "doc": pa.array(texts, pa.json_())}))

    configure(key=["id"])
    fails(cli("load", "--source", lake.url, "--json"), 1, "row group 0, row 1, column 'doc': invalid input syntax for")
    configure(key=["id"], bad_values="reject")
    load(cli, lake.url)

    assert [row[1:6] for row in rows(database, REJECTED)] == [
        (0, 1, "doc", "text that is not JSON", {"id": 1}),
        (0, 2, "doc", "JSON with a NUL character, which jsonb cannot hold", {"id": 2}),
        (0, 3, "doc", "JSON with half of a surrogate pair, or with bytes that are not UTF-8", {"id": 3}),
    ]
    with database.connect(autocommit=True) as conn:
        conn.execute("truncate product")
    file.unlink()
    lake.put("2026-01-01", "product", pa.table({"id": range(5), "doc": pa.array(texts, pa.json_())}).take([0, 2, 4]))
    configure(key=["id"], bad_values={"doc": "null"})
    load(cli, lake.url)
    assert {n: row["doc"] for n, row in table(database, "product", "id").items()} == {0: {"a": 1}, 2: None, 4: None}


def test_nested_texts_with_a_nul(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """At any depth."""
    docs = pa.array([{"t": ["a"]}, {"t": ["b\0"]}, None], pa.struct({"t": pa.list_(pa.string())}))
    lake.put("2026-01-01", "product", pa.table({"id": range(3), "doc": docs}))
    configure(key=["id"], bad_values="reject")

    load(cli, lake.url)

    assert [row[2:] for row in rows(database, REJECTED)] == [
        (1, "doc", "JSON with a NUL character, which jsonb cannot hold", {"id": 1}, {"id": 1, "doc": {"t": ["b␀"]}})
    ]
    assert {n: row["doc"] for n, row in table(database, "product", "id").items()} == {0: {"t": ["a"]}, 2: None}


def test_nested_texts_are_stripped(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """L18: a NUL and bytes that are not UTF-8 go, in the values of structs, maps and lists at any depth."""
    kind = pa.struct({"n": pa.int64(), "t": pa.list_(pa.string()), "m": pa.map_(pa.string(), pa.string())})
    plain = {"n": 1, "t": ["a", None], "m": [("k", "v")]}
    docs = [plain, plain | {"t": ["b\0c"]}, None, plain | {"m": [("k", "\0v")]}]
    listed = pa.array([None if doc is None else [doc] for doc in docs], pa.list_(kind))
    bytes_ = pa.StructArray.from_arrays([BYTES], ["t"])
    lake.put("2026-01-01", "product", pa.table({"id": range(4), "doc": pa.array(docs, kind), "l": listed, "b": bytes_}))
    configure(key=["id"], bad_values="strip")

    assert load(cli, lake.url)["product", "import"]["mended"] == 6

    as_json = {"n": 1, "t": ["a", None], "m": {"k": "v"}}
    expected = [as_json, as_json | {"t": ["bc"]}, None, as_json]
    found = [row for _, row in sorted(table(database, "product", "id").items())]
    assert [row["doc"] for row in found] == expected
    assert [row["l"] for row in found] == [None if doc is None else [doc] for doc in expected]
    assert [row["b"] for row in found] == [{"t": text} for text in ("fine", "!", "?", None)]


def test_a_number_of_more_digits_than_its_type(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Parquet promises decimal(5,2) and does not check it; the column is numeric(5,2)."""
    whole = pa.array([100, 10**9, None], pa.int64()).cast(pa.decimal128(19, 0))
    forged = pa.Array.from_buffers(pa.decimal128(5, 2), 3, whole.buffers())
    lake.put("2026-01-01", "product", pa.table({"id": range(3), "price": forged}))

    configure(key=["id"])
    fails(cli("load", "--source", lake.url, "--json"), 1, "row group 0, row 1", "numeric field overflow")
    configure(key=["id"], bad_values="reject")
    load(cli, lake.url)

    assert [row[2:5] for row in rows(database, REJECTED)] == [
        (1, "price", "a number of more digits than decimal128(5, 2) has")
    ]
    assert {n: str(row["price"]) for n, row in table(database, "product", "id").items()} == {0: "1.00", 2: "None"}


def test_a_policy_must_fit_its_column(cli: Cli, lake: Lake, configure: Configure) -> None:
    """One line that names setting and column."""
    lake.put("2026-01-01", "product", some_bad())

    configure(bad_values={"day": "strip"})
    fails(
        cli("load", "--source", lake.url, "--json"),
        2,
        "entity.product.bad_values.day: strip is for text, and it is date",
    )
    configure(bad_values={"tittle": "null"})
    fails(
        cli("load", "--source", lake.url, "--json"), 2, "entity.product.bad_values: the files have no column 'tittle'"
    )
    file = configure(bad_values={"title": "ignore"})
    fails(cli("load", "--source", lake.url), 2, f"{file.name}: entity.product.bad_values", "'error', 'strip', 'null'")
