"""What is in the target decides, declared types, and frozen contracts; docs/loading.md's table is tested row by row."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake
from tests.fixtures.examples import in_turn, one_in
from tests.flow.support import fails, load, rows, table
from tests.flow.test_evolution import kinds
from tests.flow.type_table import arrow, made, marked

DOCS = Path(__file__).parents[2] / "docs/loading.md"
PAIRS = [
    (file.strip("`"), target.strip("`"), outcome.replace("`", ""))
    for file, target, outcome in marked(DOCS, "target decides")
]
UUID = "00112233-4455-6677-8899-aabbccddeeff"
TEXTS = {  # a text that the type takes, one that it does not, and how the first reads back as text
    "character varying(100)": ("a" * 100, "a" * 101, "a" * 100),
    "public.mood": ("happy", "bored", "happy"),
    "public.short_text": ("abc", "abcd", "abc"),
    "jsonb": ('{"a":1}', "{", '{"a": 1}'),
    "json": ('{"a":1}', "{", '{"a":1}'),
    "uuid": (UUID.upper().replace("-", ""), UUID[:-1], UUID),
    "date": ("2026-01-02", "2026-02-30", "2026-01-02"),
    "timestamp without time zone": ("2026-01-02T03:04:05.5", "2026-01-02 03:04:05Z", "2026-01-02 03:04:05.5"),
    "timestamp with time zone": ("2026-01-02 03:04:05+02:00", "2026-01-02 03:04:05", "2026-01-02 01:04:05+00"),
    "inet": ("10.0.0.1/8", "10.0.0.256", "10.0.0.1/8"),
    "public.mood[]": (["sad", None], ["bored"], "{sad,NULL}"),
    "date[]": (["2026-01-02", None], ["2026-02-30"], "{2026-01-02,NULL}"),
}
VALUES: dict[str, tuple[Any, str]] = {  # a value, and its text in the target
    "int32": (2**31 - 1, str(2**31 - 1)),
    "int64": (7, "7"),
    "uint64": (2**64 - 1, str(2**64 - 1)),
    "int16": (7, "7"),
    "decimal128(10, 2)": (Decimal("12.50"), "12.50"),
    "decimal128(10, 4)": (Decimal("12.5001"), "12.5001"),
    "decimal256(50, 3)": (Decimal(10**46 + 1), f"1{'0' * 45}1.000"),
    "float": (0.5, "0.5"),
    "double": (0.1, "0.1"),
    "bool": (True, "true"),
    "string": ("a", "a"),
    "date32": (20454, "2026-01-01"),
    "timestamp[us]": (0, "1970-01-01 00:00:00"),
    "timestamp[us, tz=UTC]": (-1, "1969-12-31 23:59:59.999999Z"),
    "uuid": (bytes.fromhex(UUID.replace("-", "")), UUID),
    "fixed_size_binary[16]": (bytes.fromhex(UUID.replace("-", "")), UUID),
    "struct<a: int64>": ({"a": 1}, '{"a":1}'),
    "list<int64>": ([1, None], "{1,NULL}"),
    "list<int32>": ([1, None], "{1,NULL}"),
    "list<string>": (["a", None], "{a,NULL}"),
    "list<float>": ([0.5, 1, -2], "[0.5,1,-2]"),
    "list<double>": ([0.5, 1, -2], "[0.5,1,-2]"),
    "fixed_size_list<float>[3]": ([0.5, 1, -2], "[0.5,1,-2]"),
    "fixed_size_list<halffloat>[3]": ([0.5, 1, -2], "[0.5,1,-2]"),
}
SAID_OTHERWISE = {
    ("int64", "numeric(20,2)"): "7.00",
    ("decimal128(10, 2)", "numeric(12,3)"): "12.500",
    ("date32", "timestamp without time zone"): "2026-01-01 00:00:00",
    ("list<int64>", "jsonb"): "[1, null]",
}


@pytest.fixture
def typed(database: Database) -> Database:
    """A database with an enum and a domain of its own."""
    with database.connect(autocommit=True) as conn:
        conn.execute("do $$ begin execute format('alter database %I set timezone = UTC', current_database()); end $$")
        conn.execute("create type mood as enum ('happy', 'sad')")
        conn.execute("create domain short_text as character varying(3)")
    return database


NAMED = ("--entity", "thing")  # the table is the test's own


@pytest.mark.parametrize(("file", "target", "outcome", "mode"), in_turn(PAIRS, ["append", "upsert"]))
def test_what_is_in_the_target_decides(
    cli: Cli, lake: Lake, typed: Database, mode: str, file: str, target: str, outcome: str
) -> None:
    """Converted without loss, widened, or refused by name with nothing done; as the table says."""
    with typed.connect(autocommit=True) as conn:
        conn.execute(f"create table thing (id bigint primary key, v {target})".encode())
    value, text = (TEXTS[target][0], TEXTS[target][2]) if target in TEXTS and "string" in file else VALUES[file]
    column = made([value, None], arrow(file))
    lake.put("2026-01-01", "thing", pa.table({"id": [1, 2], "v": column}))

    if outcome == "refused":
        line = fails(
            cli("load", "--source", lake.url, "--mode", mode, *NAMED, "--json"),
            1,
            "thing: 'v' is ",
            " in the files but ",
        )
        assert line.endswith(f"{target} in the target")
        assert rows(typed, "select count(*) from thing") == [(0,)]
        return
    load(cli, lake.url, "--mode", mode, *NAMED, "--skip-search")

    wide = outcome.removeprefix("widened to ") if outcome.startswith("widened") else target.removeprefix("public.")
    assert kinds(typed, "thing")["v"] == wide
    text = SAID_OTHERWISE.get((file, target), text)
    assert rows(typed, "select v::text from thing order by id") == [(text,), (None,)]


CHECKED = [(f, t) for f, t, outcome in PAIRS if "each text checked" in outcome]


@pytest.mark.parametrize(("file", "target"), one_in(3, CHECKED))
def test_a_text_that_does_not_fit_is_a_bad_value(
    cli: Cli,
    lake: Lake,
    typed: Database,
    configure: Configure,
    file: str,
    target: str,
) -> None:
    """It is named by its place, without the value; where the policy is `null`, the others are loaded."""
    good, bad, text = TEXTS[target]
    with typed.connect(autocommit=True) as conn:
        conn.execute(f"create table product (id bigint primary key, v {target})".encode())
    lake.put("2026-01-01", "product", pa.table({"id": [1, 2], "v": made([good, bad], arrow(file))}))

    configure()
    line = fails(cli("load", "--source", lake.url, "--json"), 1, "part-0.parquet, row group 0, row 1, column 'v': ")
    configure(bad_values={"v": "null"})
    stage = load(cli, lake.url)["product", "import"]

    assert str(bad) not in line
    assert stage["mended"] == 1
    assert rows(typed, "select v::text from product order by id") == [(text,), (None,)]


def test_declared_types_make_the_table(cli: Cli, lake: Lake, typed: Database, configure: Configure) -> None:
    """With any type of the database; later loads fill it as they did, and a bad value stays a bad value."""
    types = {
        "v": "vector(2)",
        "price": "numeric(10,2)",
        "seen": "timestamptz",
        "doc": "jsonb",
        "how": "mood",
        "n": "int",
    }
    configure(key=["id"], types=types | {"absent": "text"})
    rows_ = {
        "id": [1, 2],
        "v": [[0.5, 1.0], None],
        "price": [19.99, None],
        "seen": ["2026-01-01T00:00:00Z", None],
        "doc": ['{"a": 1}', None],
        "how": ["sad", None],
        "n": pa.array([2**31 - 1, None], pa.int64()),
    }
    lake.put("2026-01-01", "product", pa.table(rows_))
    plan = json.loads(cli("plan", "--source", lake.url, "--json").out)[0]

    load(cli, lake.url)
    lake.put("2026-01-02", "product", pa.table(rows_ | {"id": [1, 3]}))
    stage = load(cli, lake.url)["product", "import"]

    expected = {
        "id": "bigint",
        "v": "vector(2)",
        "price": "numeric(10,2)",
        "seen": "timestamp with time zone",
        "doc": "jsonb",
        "how": "mood",
        "n": "integer",
    }
    assert kinds(typed, "product") == expected
    assert "price double precision as numeric(10,2)" in plan["converted"]
    assert (stage["inserted"], stage["unchanged"]) == (1, 1)
    assert table(typed, "product", "id")[1]["price"] == Decimal("19.99")
    lake.put("2026-01-03", "product", pa.table(rows_ | {"n": pa.array([2**31, None])}))
    fails(
        cli("load", "--source", lake.url, "--json"), 1, "row group 0, row 0, column 'n': a value of int64 that integer"
    )


def test_a_declared_type_must_be_there_and_fit(cli: Cli, lake: Lake, configure: Configure) -> None:
    """A type that does not exist is a wrong setting; one that the values cannot be read as is refused by name."""
    lake.put("2026-01-01", "product", pa.table({"id": [1], "v": ["a"]}))

    configure(types={"v": "colour"})
    fails(
        cli("load", "--source", lake.url, "--json"),
        2,
        "entity.product.types.v: the type 'colour' does not exist in this database",
    )
    configure(types={"v": "bytea"})
    fails(
        cli("load", "--source", lake.url, "--json"),
        1,
        "product: 'v' is text in the files, which cannot be read as bytea",
    )


DIFFERENCES: dict[str, tuple[dict[str, Any], str]] = {
    "a column more": ({"extra": [1, 2]}, "'extra' is not in the target"),
    "a wider type": ({"size": pa.array([1, 2])}, "'size' is bigint in the files but integer in the target"),
    "a column less": ({"name": None}, "'name' is not in file://"),
}


def test_a_type_of_an_extension_is_known_by_its_name(plain_cli: Cli, plain_database: Database, lake: Lake) -> None:
    """In whatever schema it lies."""
    with plain_database.connect(autocommit=True) as conn:
        conn.execute("create schema elsewhere")
        conn.execute("create extension citext schema elsewhere")
        conn.execute("create table thing (id bigint primary key, v elsewhere.citext)")
    lake.put("2026-01-01", "thing", pa.table({"id": [1], "v": ["Ab"]}))

    load(plain_cli, lake.url, *NAMED, "--skip-search")

    assert rows(plain_database, "select v::text from thing") == [("Ab",)]
