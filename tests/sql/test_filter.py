"""Filters: what they select, in words and in vectors, and that nothing in them is ever SQL."""

import json
from typing import Any

import pytest

from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.sql.support import column, drain, embed, sqlstate, value

ROWS = """
    insert into item
    select n, 'thing', (array['a', 'b', 'c'])[n], n * 1.5, make_date(2026, n, 1), n = 2, nullif(n, 3), '{"k": 1}'
      from generate_series(1, 3) n
"""


@pytest.fixture
def items(conn: Connection) -> Connection:
    """Three rows that the word `thing` finds, with columns of several types."""
    conn.execute("""
        create table item (id int primary key, title text, code varchar(3), price numeric(6,2), day date, sold boolean,
                           "we""ird, col" int, doc jsonb)""")
    conn.execute(ROWS)
    conn.execute("select pgpipe.enable_search('item', '{title=>A}')")
    drain(conn, embed(conn, "item", ["title"]))
    return conn


TEXT = "select (key ->> 'id')::int from pgpipe.text_search('item', 'thing', 10, %s) order by 1"
VECTOR = "select (key ->> 'id')::int from pgpipe.vector_search('item', '[1,0,0]', 10, %s) order by 1"
HYBRID = "select (key ->> 'id')::int from pgpipe.hybrid_search('item', 'thing', '[1,0,0]', 10, %s) order by 1"


FILTERS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [1, 2, 3]),
    ({"code": "a"}, [1]),
    ({"code": "abc"}, []),
    ({"code": "abcdef"}, []),
    ({"code": ["a", "c", "zzz"]}, [1, 3]),
    ({"code": []}, []),
    ({"id": [2, 3]}, [2, 3]),
    ({"price": 1.5}, [1]),
    ({"price": 1.504}, []),
    ({"price": {"gte": 3, "lt": 4.5}}, [2]),
    ({"price": {"gt": 3}}, [3]),
    ({"price": {"lte": 3}}, [1, 2]),
    ({"day": "2026-02-01"}, [2]),
    ({"day": {"gt": "2026-01-15"}}, [2, 3]),
    ({"sold": True}, [2]),
    ({"sold": False, "code": "a"}, [1]),
    ({'we"ird, col': None}, [3]),
    ({'we"ird, col': {"ne": 1}}, [2, 3]),
    ({'we"ird, col': {"ne": None}}, [1, 2]),
    ({"title": "thing", "id": 1, "code": "a"}, [1]),
    ({"title": "'; drop table item; --"}, []),
    ({"title": "' or true --"}, []),
    ({"title": {"ne": "' or true --"}}, [1, 2, 3]),
    ({"title": ["{a,b}", '"', "\\", "',now()"]}, []),
    ({"or": [{"code": "a"}, {"price": {"gt": 3}, "sold": False}]}, [1, 3]),
    ({"or": []}, []),
    ({"not": {"code": ["a", "b"]}}, [3]),
    ({"not": {'we"ird, col': 1}, "id": {"lt": 9}}, [2, 3]),
    ({"not": {"or": [{"id": 1}, {"not": {"id": [1, 2]}}]}}, [2]),
    ({"title": {"starts_with": "thi"}}, [1, 2, 3]),
    ({"title": {"starts_with": "_hi"}}, []),
    ({"doc.k": 1}, [1, 2, 3]),
    ({"doc.k": {"gt": 1}}, []),
]


def test_filters(items: Connection) -> None:
    """Each selects the same rows in text, vector and hybrid search."""
    for where, expected in FILTERS:
        for search in (TEXT, VECTOR, HYBRID):
            assert column(items, search, json.dumps(where)) == expected, (where, search)
    assert column(items, TEXT, None) == [1, 2, 3]


@also_on_16
def test_unknown_columns_are_named(items: Connection) -> None:
    """A column that the table lacks, also one that tries to be SQL, is PP002; so is the system's ctid."""
    for name in ("nope", "id = 1 or true --", '"', "ctid", "", "x" * 100, "1; drop table item"):
        for search in (TEXT, VECTOR, HYBRID):
            assert sqlstate(items, search, json.dumps({name: 1})) == "PP002", name
    assert value(items, "select count(*) from item") == 3


BAD: list[dict[str, Any]] = [
    {"or": {"id": 1}},
    {"or": [1]},
    {"not": [{"id": 1}]},
    {"title.k": 1},
    {"id": {"starts_with": "1"}},
    {"title": {"starts_with": 1}},
    {"doc.k": {"between": 1}},
    {"doc.k": {"lt": [1]}},
    {"doc.k": {"starts_with": 1}},
    {"doc.k": {"in": 1}},
    json.loads('{"not":' * 30 + "{}" + "}" * 30),
]


def test_bad_shapes(items: Connection) -> None:
    """No object, or an unknown comparison: PP003. A value that the type does not know: the server's own error."""
    for where in ([1], "x", 5, True, {"id": {"between": 1}}, {"id": {"lt; drop table item": 1}}, *BAD):
        for search in (TEXT, VECTOR, HYBRID):
            assert sqlstate(items, search, json.dumps(where)) == "PP003", where
    assert sqlstate(items, TEXT, json.dumps({"id": "many"})) == "22P02"
    assert sqlstate(items, TEXT, json.dumps({"day": "2026-13-01"})) == "22008"


@also_on_16
def test_a_filter_works_within_the_search(items: Connection) -> None:
    """The best k of those that pass, not those of the best k that pass."""
    items.execute("insert into item select n, 'thing thing thing', 'z' from generate_series(10, 1000) n")
    assert column(items, TEXT.replace("10,", "1,"), '{"code": "a"}') == [1]
    drain(items, value(items, "select embedding_id from pgpipe.embedding"))
    assert column(items, VECTOR.replace("10,", "1,"), '{"code": "c"}') == [3]


INSIDE = """
    create table thing (id int primary key, attributes jsonb, "a.b" jsonb, "or" text);
    insert into thing values
        (1, '{"colour": "red", "size": 5, "new": true, "tags": ["x", "y"], "a.b": {"c": "deep"}}',
         '1', 'u'),
        (2, '{"colour": "reddish", "size": 12.5, "new": false, "parts": [{"kind": "bolt"}, {"kind": "nut"}]}',
         '2', 'v'),
        (3, '{"colour": null, "size": "5", "tags": []}', '3', 'w'),
        (4, null, null, null)
"""
WITHIN: list[tuple[dict[str, Any], list[int]]] = [
    ({"attributes.colour": "red"}, [1]),
    ({"attributes.colour": ["red", "reddish", "blue"]}, [1, 2]),
    ({"attributes.colour": ["red", None]}, [1, 3, 4]),
    ({"attributes.colour": None}, [3, 4]),
    ({"attributes.colour": {"null": False}}, [1, 2]),
    ({"attributes.colour": {"ne": "red"}}, [2, 3, 4]),
    ({"attributes.colour": {"starts_with": "red"}}, [1, 2]),
    ({"attributes.colour": {"starts_with": 'r" || @ == "reddish'}}, []),
    ({"attributes.size": 5}, [1]),
    ({"attributes.size": "5"}, [3]),
    ({"attributes.size": {"gte": 5, "lt": 12.6}}, [1, 2]),
    ({"attributes.size": {"gt": -(10**30)}}, [1, 2]),
    ({"attributes.new": True}, [1]),
    ({"attributes.tags": "y"}, [1]),
    ({"attributes.tags": {"eq": ["x", "y"]}}, [1]),
    ({"attributes.tags": {"eq": []}}, [3]),
    ({"attributes.parts.kind": "nut"}, [2]),
    ({'attributes."a.b".c': "deep"}, [1]),
    ({'attributes."no ""such"") || true"': "deep"}, []),
    ({"a.b": 2}, [2]),
    ({"or": ["v", "w"]}, [2, 3]),
]


@also_on_16
def test_values_inside_json(conn: Connection) -> None:
    """A path names a value inside jsonb: compared by its kind, element by element; a column of the name comes first."""
    conn.execute(INSIDE)
    for where, expected in WITHIN:
        condition = value(conn, "select pgpipe_internal.filter_condition('thing', 't', %s)", json.dumps(where))
        assert column(conn, f"select id from thing t where {condition} order by 1".replace("%", "%%")) == expected, (
            where
        )
    conn.execute("create index on thing using gin (attributes jsonb_path_ops); set enable_seqscan = off")
    condition = value(conn, "select pgpipe_internal.filter_condition('thing', 't', %s)", '{"attributes.size": 5}')
    plan = column(conn, f"explain select id from thing t where {condition}".replace("%", "%%"))
    assert any("Index Cond" in line for line in plan), plan
    assert sqlstate(conn, "select pgpipe_internal.filter_condition('thing', 't', %s)", '{"other.size": 5}') == "PP002"
