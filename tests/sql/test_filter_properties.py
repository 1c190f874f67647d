"""Filters of any value on columns of many types, against the same decision made in Python. Nothing in them is SQL."""

import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.fixtures.examples import examples
from tests.sql.support import column, sqlstate, value

ODD = "a'b\"c\\d%s; --{e},$1"  # a column's name
WORDS = [
    "",
    "a",
    "'",
    '"',
    "\\",
    "a'b",
    "; drop table thing; --",
    "%s",
    "{a,b}",
    "null",
    "$1",
    "\u4e2d",
    "\U0001f600",
    " a ",
]
ROWS: list[dict[str, Any]] = [
    {"id": n, "t": WORDS[n % len(WORDS)] if n % 5 else None, "i": n - 7 if n % 4 else None, "d": n / 2, "b": n % 3 == 0}
    for n in range(20)
]
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
}
OPTIONS = settings(
    max_examples=examples(40, 150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def things(conn: Connection) -> Connection:
    """Rows of several types, one column with a name that is all quotes."""
    name = ODD.replace('"', '""')
    typed = 'id int primary key, t text collate "C", i smallint, d numeric(6,2), b boolean'
    create = f'create table thing ({typed}, "{name}" text)'
    conn.execute(create.encode())
    for row in ROWS:
        conn.execute("insert into thing values (%s, %s, %s, %s, %s, %s)", [*row.values(), row["t"]])
    return conn


def selected(conn: Connection, where: dict[str, Any]) -> list[int]:
    """Ids of the rows that a filter leaves."""
    condition = value(conn, "select pgpipe_internal.filter_condition('thing', 't', %s)", json.dumps(where))
    return column(conn, f"select id from thing t where {condition} order by 1".replace("%", "%%"))


def passes(stored: Any, wanted: Any) -> bool:
    """What a filter means, in Python."""
    if isinstance(wanted, dict):
        return all(compared(operator, stored, bound) for operator, bound in wanted.items())
    if isinstance(wanted, list):
        return any(compared("eq", stored, one) for one in wanted)
    return compared("eq", stored, wanted)


def compared(operator: str, stored: Any, bound: Any) -> bool:
    """One comparison."""
    if operator == "in":
        return passes(stored, bound)
    if operator == "ne":
        return not compared("eq", stored, bound)
    if operator == "null":
        return (stored is None) == bound
    if operator == "eq" and bound is None:
        return stored is None
    return stored is not None and COMPARE[operator](stored, bound)


def filters(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A filter's right-hand side over these values."""
    ordered = st.dictionaries(st.sampled_from(["eq", "lt", "lte", "gt", "gte", "ne"]), values, min_size=1, max_size=3)
    lists = st.lists(st.none() | values, max_size=4)
    return st.one_of(
        st.none(), values, lists, ordered, st.fixed_dictionaries({"in": lists}),
        st.fixed_dictionaries({"null": st.booleans()}), st.fixed_dictionaries({"ne": st.none() | values}),
    )  # fmt: skip


TEXTS = st.sampled_from(WORDS) | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
NUMBERS = st.integers(-20, 20) | st.integers(-(10**30), 10**30) | st.integers(-40, 40).map(lambda n: n / 4)
COLUMNS = st.fixed_dictionaries(
    {},
    optional={
        "t": filters(TEXTS),
        ODD: filters(TEXTS),
        "i": filters(NUMBERS),
        "d": filters(NUMBERS),
        "b": filters(st.booleans()),
    },
)


NESTED = st.recursive(
    COLUMNS,
    lambda inner: st.fixed_dictionaries(
        {}, optional={"or": st.lists(inner, max_size=3), "not": inner, "b": st.booleans()}
    ),
    max_leaves=4,
)


def holds(row: dict[str, Any], where: dict[str, Any]) -> bool:
    """All parts of a filter, in Python."""
    rest = {name: wanted for name, wanted in where.items() if name not in {"or", "not"}}
    return (
        all(passes(row[name], wanted) for name, wanted in rest.items())
        and ("or" not in where or any(holds(row, one) for one in where["or"]))
        and ("not" not in where or not holds(row, where["not"]))
    )


@also_on_16
@OPTIONS
@given(where=NESTED)
def test_a_filter_means_what_it_says(things: Connection, where: dict[str, Any]) -> None:
    """The rows that pass in Python are the rows that pass in SQL, whatever the values are."""
    stored = [row | {ODD: row["t"]} for row in ROWS]

    assert selected(things, where) == [row["id"] for row in stored if holds(row, where)]
    assert value(things, "select count(*) from thing") == len(ROWS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@OPTIONS
@given(where=JSON)
def test_anything_else_is_refused_in_words(things: Connection, where: Any) -> None:
    """Any JSON at all is a filter, or an error that names what is wrong with it: never a syntax error, never SQL."""
    state = sqlstate(things, "select pgpipe_internal.filter_condition('thing', 't', %s)", json.dumps(where))

    assert state in {"", "PP002", "PP003"}, where


@also_on_16
@OPTIONS
@given(name=st.sampled_from(["t", "i", "d", "b", ODD, "or", "not"]), wanted=JSON)
def test_any_value_on_any_column(things: Connection, name: str, wanted: Any) -> None:
    """A value that is none of the column's type is the server's own data error; the rows are untouched."""
    where = json.dumps({name: wanted})
    state = sqlstate(things, "select pgpipe_internal.filter_condition('thing', 't', %s)", where)
    if state == "":
        condition = value(things, "select pgpipe_internal.filter_condition('thing', 't', %s)", where)
        state = sqlstate(things, f"select id from thing t where {condition}".replace("%", "%%"))

    assert state in {"", "PP003", *(["PP002"] if name in {"or", "not"} else [])} or state.startswith("22"), where
    assert value(things, "select count(*) from thing") == len(ROWS)


TYPES: dict[str, tuple[str, list[Any], dict[str, Any], list[int]]] = {
    "uuid": (
        "uuid",
        ["6ec0bd7f-11c0-43da-975e-2a8ad9ebae0b", None],
        {"c": "6EC0BD7F-11C0-43DA-975E-2A8AD9EBAE0B"},
        [0],
    ),
    "timestamptz": (
        "timestamptz",
        ["2026-01-01 00:00+00", "2026-01-02 00:00+00"],
        {"c": {"gt": "2026-01-01T02:00+01:00"}},
        [1],
    ),
    "interval": ("interval", ["1 hour", "2 hours"], {"c": {"lte": "60 minutes"}}, [0]),
    "bytea": ("bytea", ["\\x00ff", "\\x01"], {"c": "\\x01"}, [1]),
    "inet": ("inet", ["10.0.0.1", "10.0.0.2"], {"c": ["10.0.0.2", "::1"]}, [1]),
    "char": ("char(5)", ["ab", "abc"], {"c": "ab"}, [0]),
    "real": ("real", [0.1, 0.2], {"c": 0.1}, [0]),
    "enum": ("mood", ["sad", "glad"], {"c": {"gt": "sad"}}, [1]),
    "domain": ("short", ["abc", "ab"], {"c": "abcd"}, []),
    "array": ("text[]", [["red", "blue"], ["green"]], {"c": "red"}, [0]),
    "arrays": ("text[]", [["red", "blue"], ["green"]], {"c": ["green", "x"]}, [1]),
    "whole array": ("int[]", [[1, 2], [2, 1]], {"c": {"eq": [2, 1]}}, [1]),
    "empty array": ("int[]", [[], [1]], {"c": {"eq": []}}, [0]),
    "no element": ("text[]", [["red"], ["green"], None], {"c": {"ne": "red"}}, [1, 2]),
    "jsonb": ("jsonb", ['{"a": 1}', '"x"'], {"c": {"eq": {"a": 1}}}, [0]),
    "json text": ("json", ['{"a": 1}', '"x"'], {"c": "x"}, [1]),
    "range": ("int4range", ["[1,5)", "[5,9)"], {"c": "[1,4]"}, [0]),
    "regclass": ("regclass", ["pg_class", "pg_type"], {"c": "pg_catalog.pg_type"}, [1]),
    "bit": ("bit(3)", ["101", "111"], {"c": "101"}, [0]),
}


@also_on_16
@pytest.mark.parametrize("kind", TYPES)
def test_types(conn: Connection, kind: str) -> None:
    """A value is read as the column's type reads it."""
    type_, values, where, expected = TYPES[kind]
    conn.execute("create type mood as enum ('sad', 'ok', 'glad'); create domain short as varchar(3)")
    conn.execute(f"create table thing (id int primary key, c {type_})".encode())
    for n, stored in enumerate(values):
        conn.execute(f"insert into thing values (%s, %s::{type_})".encode(), (n, stored))

    assert selected(conn, where) == expected


@also_on_16
def test_numbers_beyond_the_type(conn: Connection) -> None:
    """A bound that no integer of the column reaches decides, it does not fail; an index is used for those that do."""
    conn.execute("create table thing (id int primary key, c int)")
    conn.execute("insert into thing select n, n from generate_series(1, 1000) n")
    conn.execute("analyze thing")

    assert len(selected(conn, {"c": {"lt": 10**12}})) == 1000
    assert selected(conn, {"c": {"gt": 1e300}}) == []
    assert selected(conn, {"id": {"gte": 999.5}}) == [1000]
    assert selected(conn, {"id": [3.0, 4.5, 7]}) == [3, 7]
    rows, cost = conn.execute(
        "select rows, cost from pgpipe_internal.estimate('thing', 'row.id = ''7''::int8')"
    ).fetchone() or (
        0,
        0,
    )
    assert rows == 1
    assert 0 < cost < 10
    assert math.isclose(
        float(Decimal(str(value(conn, "select rows from pgpipe_internal.estimate('thing', 'true')")))), 1000
    )
