"""Columns as frameworks make them, and types of extensions: loaded if nothing is lost, else checked value by value."""

import json
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import fails, load, rows

DAY = datetime(2026, 1, 2, 3, 4, 5, 123_000, tzinfo=UTC)
NAIVE = DAY.replace(tzinfo=None)
FRAMEWORKS: dict[str, tuple[pa.DataType, Any, str, Any]] = {  # file's type, a value, its text, a value that would lose
    "timestamp(3)": (pa.timestamp("us"), NAIVE, "2026-01-02 03:04:05.123", NAIVE.replace(microsecond=123_001)),
    "timestamp(6)": (pa.timestamp("us"), NAIVE, "2026-01-02 03:04:05.123", None),
    "timestamptz(0)": (pa.timestamp("ms", "UTC"), DAY.replace(microsecond=0), "2026-01-02 03:04:05+00", DAY),
    "timestamptz(3)[]": (pa.list_(pa.timestamp("us", "UTC")), [DAY], '{"2026-01-02 03:04:05.123+00"}', [
        DAY.replace(microsecond=1)]),
    "time(3)": (pa.time64("us"), time(1, 2, 3, 4000), "01:02:03.004", time(1, 2, 3, 4)),
    "interval(1)": (pa.duration("us"), timedelta(milliseconds=1500), "00:00:01.5", timedelta(milliseconds=1550)),
    "varchar[]": (pa.list_(pa.string()), ["a", None, ""], '{a,NULL,""}', None),
    "varchar(3)[]": (pa.list_(pa.string()), ["abc"], "{abc}", ["abcd"]),
    "char(2)[]": (pa.list_(pa.large_string()), ["ab"], "{ab}", ["abc"]),
    "json[]": (pa.list_(pa.string()), ['{"a":1}', None], '{"{"a":1}",NULL}'.replace('"a"', '\\"a\\"'), ["{"]),
    "jsonb[]": (pa.list_(pa.string()), ['{"a":1}'], '{"{\\"a\\": 1}"}', ["{"]),
    "mood[]": (pa.list_(pa.dictionary(pa.int8(), pa.string())), ["sad"], "{sad}", ["bored"]),
    "short[]": (pa.list_(pa.string()), ["ab"], "{ab}", ["abcd"]),
    "uuid[]": (pa.list_(pa.string()), [f"{0:032x}"], "{00000000-0000-0000-0000-000000000000}", ["x"]),
}  # fmt: skip
BY_INPUT: dict[str, tuple[Any, str, Any]] = {  # a text, how it reads back, a text that is not one
    "inet": ("10.0.0.1/8", "10.0.0.1/8", "10.0.0.256"),
    "cidr": ("10.0.0.0/8", "10.0.0.0/8", "10.0.0.1/8"),
    "macaddr": ("08002b:010203", "08:00:2b:01:02:03", "08002b"),
    "int4range": ("[1,5]", "[1,6)", "[5,1]"),
    "tstzrange": ("[2026-01-01 00:00+02,)", '["2025-12-31 22:00:00+00",)', "2026-01-01"),
    "int8multirange": ("{[1,2),[5,7)}", "{[1,2),[5,7)}", "{[1,2)"),
    "money": ("$1,234.50", "$1,234.50", "12 EUR"),
    "bit(3)": ("101", "101", "1010"),
    "bit varying(3)": ("10", "10", "1010"),
    "tsvector": ("'a':1A 'b'", "'a':1A 'b'", "'a"),
    "point": ("(1,2)", "(1,2)", "(1)"),
    "box": ("(1,2),(0,0)", "(1,2),(0,0)", "(1)"),
    "interval(0)": ("1 day 00:00:01", "1 day 00:00:01", "0.5 s"),
    "timetz(0)": ("10:00:01+02", "10:00:01+02", "10:00:00.5+02"),
    "time": ("10:00:01.5", "10:00:01.5", "25:00:00"),
    "pg_lsn": ("16/B374D848", "16/B374D848", "x"),
    "inet[]": (["10.0.0.1", None], "{10.0.0.1,NULL}", ["x"]),
    "box[]": (["(1,2),(0,0)"], "{(1,2),(0,0)}", ["x"]),
    "hstore": ('a=>"1", b=>NULL', '"a"=>"1", "b"=>NULL', "a=>"),
    "ltree": ("a.b_c", "a.b_c", "a..b"),
    "ltree[]": (["a.b"], "{a.b}", ["a..b"]),
    "citext[]": (["aB"], "{aB}", None),
}
SETUP = """
    create extension hstore;
    create extension ltree;
    create extension citext;
    create type mood as enum ('happy', 'sad');
    create domain short as varchar(3);
"""


@pytest.fixture
def known(plain_database: Database) -> Database:
    """A database with types of extensions, an enum and a domain."""
    with plain_database.connect(autocommit=True) as conn:
        conn.execute("do $$ begin execute format('alter database %I set timezone = UTC', current_database()); end $$")
        conn.execute(SETUP)
    return plain_database


def arrays(cases: list[tuple[pa.DataType, Any, Any]]) -> dict[str, pa.Array]:
    """A column of each: the good value, NULL, and the bad one."""
    return {f"c{n}": pa.array([good, None, bad], kind) for n, (kind, good, bad) in enumerate(cases)}


@pytest.mark.parametrize("mode", ["append", "create", pytest.param("upsert", marks=pytest.mark.long)])
def test_types_of_frameworks_and_extensions(
    mode: str, plain_cli: Cli, known: Database, lake: Lake, configure: Configure
) -> None:
    """L11, L13: each value arrives as its type reads it, in each mode; one that would lose something is a bad value."""
    types = [*FRAMEWORKS, *BY_INPUT]
    texts = [(pa.list_(pa.string()) if kind.endswith("[]") else pa.string()) for kind in BY_INPUT]
    cases = [(kind, good, bad) for kind, good, _, bad in FRAMEWORKS.values()]
    cases += [(kind, good, bad) for kind, (good, _, bad) in zip(texts, BY_INPUT.values(), strict=True)]
    names = [f"c{n}" for n in range(len(types))]
    settings: dict[str, Any] = {"bad_values": "null", "mode": "append" if mode == "append" else "upsert"}
    if mode == "create":
        settings["types"] = dict(zip(names, types, strict=True))
    else:
        with known.connect(autocommit=True) as conn:
            columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, types, strict=True))
            conn.execute(f"create table product (id bigint primary key, {columns})".encode())
    configure(key=["id"], **settings)
    lake.put("2026-01-01", "product", pa.table({"id": [1, 2, 3], **arrays(cases)}), row_group_size=2)
    plan = json.loads(plain_cli("plan", "--source", lake.url, "--json").out)[0]

    stage = load(plain_cli, lake.url)["product", "import"]

    assert "refused" not in plan
    expected = [text for _, _, text, _ in FRAMEWORKS.values()] + [text for _, text, _ in BY_INPUT.values()]
    lines = known_rows(known, names)
    assert [(kind, got) for kind, got, want in zip(types, lines[0], expected, strict=True) if got != want] == []
    assert lines[1] == lines[2] == (None,) * len(types)
    assert stage["mended"] == sum(bad is not None for _, _, bad in cases)


def known_rows(database: Database, names: list[str]) -> list[tuple]:
    """The texts of columns, row by row."""
    return rows(database, f"select {', '.join(f'{name}::text' for name in names)} from product order by id")


def test_a_text_that_its_type_refuses_is_named(
    plain_cli: Cli, known: Database, lake: Lake, configure: Configure
) -> None:
    """L13: by file, row group, row and column, without the value; and the row may be rejected."""
    configure(key=["id"], types={"address": "inet"})
    table = pa.table({"id": [1, 2, 3, 4], "address": ["10.0.0.1", None, "::1", "secret"]})
    lake.put("2026-01-01", "product", table, row_group_size=2)

    line = fails(
        plain_cli("load", "--source", lake.url, "--json"),
        1,
        "row group 1, row 1, column 'address': a text that is not valid as inet",
    )
    configure(key=["id"], types={"address": "inet"}, bad_values="reject")
    stage = load(plain_cli, lake.url)["product", "import"]

    assert "secret" not in line
    assert (stage["inserted"], stage["rejected"]) == (3, 1)
    assert rows(known, "select id, host(address) from product order by id") == [(1, "10.0.0.1"), (2, None), (3, "::1")]


STAND_IN = """
    create type geometry;
    create function geometry_in(cstring) returns geometry language internal immutable strict as 'byteain';
    create function geometry_out(geometry) returns cstring language internal immutable strict as 'byteaout';
    create function geometry_recv(internal) returns geometry language internal immutable strict as 'bytearecv';
    create function geometry_send(geometry) returns bytea language internal immutable strict as 'byteasend';
    create type geometry (input = geometry_in, output = geometry_out, receive = geometry_recv, send = geometry_send);
"""


def test_well_known_binary_goes_to_the_input_function(
    plain_cli: Cli, plain_database: Database, lake: Lake, configure: Configure
) -> None:
    """L13: as hexadecimal text, which PostGIS reads. The type here is a stand-in that keeps that text."""
    with plain_database.connect(autocommit=True) as conn:
        conn.execute(STAND_IN)
    configure(key=["id"], types={"place": "geometry"})
    lake.put("2026-01-01", "product", pa.table({"id": [1, 2], "place": pa.array([b"\x01\xab", None], pa.binary())}))

    load(plain_cli, lake.url)

    found = rows(plain_database, "select encode(geometry_send(place), 'escape') from product order by id")
    assert found == [("01ab",), (None,)]


def test_lists_without_a_value(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Lists that are empty, or hold NULL alone, go into an array of any type; they were an unexpected error."""
    kinds = ("box", "inet", "mood", "json", "bytea", "time", "interval", "uuid", "timestamptz", "varchar(3)", "jsonb")
    configure(key=["id"])
    with database.connect(autocommit=True) as conn:
        conn.execute("create type mood as enum ('sad')")
        columns = ", ".join(f'"{kind}" {kind}[]' for kind in kinds)
        conn.execute(f"create table product (id bigint primary key, {columns})".encode())
    lists = pa.array([[], [None], None], pa.list_(pa.null()))
    lake.put("2026-01-01", "product", pa.table({"id": [1, 2, 3]} | dict.fromkeys(kinds, lists)))

    load(cli, lake.url, "--skip-search")

    for kind in kinds:
        found = rows(database, f"""select "{kind}"::text from product order by id""")
        assert found == [("{}",), ("{NULL}",), (None,)], kind
