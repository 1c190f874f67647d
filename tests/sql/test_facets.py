"""Facets and totals: what is counted, over which rows, and that nothing hidden is counted."""

import json
from typing import Any

import pytest

from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.sql.support import column, drain, embed, sqlstate, value

SHOP = """
    create type mood as enum ('sad', 'glad');
    create table product (id int primary key, title text, brand text, price numeric, tags text[], data jsonb,
                          added date, mood mood);
    insert into product values
        (1, 'Rain jacket', 'Acme', 10, '{red,blue}', '{"colour": "red", "size": 5, "parts": ["a", "a", "b"]}',
         '2026-01-01', 'sad'),
        (2, 'Wool jacket', 'Acme', 25, '{red}', '{"colour": "green", "size": "5"}', '2026-02-01', 'glad'),
        (3, 'Jacket of silk', 'Bell', 75, '{}', '{"colour": null}', '2026-03-01', null),
        (4, 'Jacket', null, null, null, null, null, null),
        (5, 'Tent', 'Camp', 300, '{red}', '{"colour": "red"}', '2026-01-01', 'sad');
    select pgpipe.enable_search('product', '{title=>A}');
    select pgpipe.refresh_search('product')
"""
FACETS = "select facet, value, rows from pgpipe.facets('product', %s, %s, %s)"
TOTAL = "select rows, exact from pgpipe.total('product', %s, %s)"


@pytest.fixture
def shop(conn: Connection) -> Connection:
    """Five products, four of them jackets."""
    conn.execute(SHOP)
    return conn


COUNTED: list[tuple[list[Any], list[tuple[str, str, int]]]] = [
    (["brand"], [("brand", "Acme", 2), ("brand", "Bell", 1)]),
    (["tags"], [("tags", "red", 2), ("tags", "blue", 1)]),
    (["data.colour"], [("data.colour", "green", 1), ("data.colour", "red", 1)]),
    (["data.size"], [("data.size", "5", 1), ("data.size", "5", 1)]),  # a number and a text
    (["data.parts"], [("data.parts", "a", 1), ("data.parts", "b", 1)]),
    (["mood"], [("mood", "glad", 1), ("mood", "sad", 1)]),
    (["added", "nothing"], []),
    ([{"price": [10, 50]}], [("price", "(,10)", 0), ("price", "[10,50)", 2), ("price", "[50,)", 1)]),
    ([{"added": ["2026-02-01"]}], [("added", "(,2026-02-01)", 1), ("added", "[2026-02-01,)", 2)]),
    ([{"data.size": [9]}], [("data.size", "(,9)", 1), ("data.size", "[9,)", 0)]),
]


@also_on_16
def test_facets_count_all_that_match(shop: Connection) -> None:
    """By value, element, value inside JSON and range. What has no value is not counted; `as_filter` chooses as many."""
    for columns, expected in COUNTED:
        if "nothing" in columns:
            assert sqlstate(shop, FACETS, "jacket", json.dumps(columns), None) == "PP002"
            continue
        assert shop.execute(FACETS, ("jacket", json.dumps(columns), None)).fetchall() == expected, columns
        chosen = "select rows, as_filter from pgpipe.facets('product', 'jacket', %s)"
        for rows, where in shop.execute(chosen, (json.dumps(columns),)).fetchall():
            assert shop.execute(TOTAL, ("jacket", json.dumps(where))).fetchone() == (rows, True), where
    together = shop.execute(FACETS, ("jacket", '["brand", {"price": [50]}]', None)).fetchall()
    assert [row[0] for row in together] == ["brand", "brand", "price", "price"]


def test_its_own_filter_does_not_narrow_a_facet(shop: Connection) -> None:
    """The other brands stay to choose from; other facets are narrowed; a question of nothing counts every row."""
    where = '{"brand": "Acme", "price": {"lt": 20}}'
    found = shop.execute(FACETS, ("jacket", '["brand", "tags", {"price": [20]}]', where)).fetchall()

    assert found == [
        ("brand", "Acme", 1), ("tags", "blue", 1), ("tags", "red", 1), ("price", "(,20)", 1), ("price", "[20,)", 1),
    ]  # fmt: skip
    assert shop.execute(FACETS, (None, '["brand"]', None)).fetchall()[0] == ("brand", "Acme", 2)
    assert shop.execute(FACETS, ("the", '["brand"]', None)).fetchall() == []
    assert shop.execute(FACETS, ("jaket -wool", '["brand"]', None)).fetchall() == [
        ("brand", "Acme", 1), ("brand", "Bell", 1),
    ]  # fmt: skip
    assert [shop.execute(TOTAL, asked).fetchone() for asked in (("jacket", None), (None, None), ("the", None))] == [
        (4, True), (5, True), (0, True),
    ]  # fmt: skip


def test_bad_facets(shop: Connection) -> None:
    """One line that says what is wrong."""
    for columns in (["nope"], ["title.x"], [5], [{"price": 5}], [{"price": []}], {"price": [None]}, [{"brand.x": [1]}]):
        assert sqlstate(shop, FACETS, "jacket", json.dumps(columns), None) in {"PP002", "PP003"}, columns
    assert sqlstate(shop, FACETS, "jacket", '[{"price": ["many"]}]', None) == "22P02"


@also_on_16
def test_facets_of_candidates(shop: Connection) -> None:
    """Of a vector and a hybrid search the candidates count."""
    shop.execute("update product set title = 'Tent' where id = 1")
    drain(shop, embed(shop, "product", ["title"]))
    near = "select value, rows, exact from pgpipe.hybrid_facets('product', %s, '[1,0,0]', '[\"brand\"]', null, 10, %s)"

    assert shop.execute(near, (None, 100)).fetchall() == [("Acme", 2, True), ("Bell", 1, True), ("Camp", 1, True)]
    assert {row[2] for row in shop.execute(near, (None, 2)).fetchall()} == {False}
    assert [row[:2] for row in shop.execute(near, ("tent", 1)).fetchall()] == [("Acme", 1)]


def test_very_many_rows_are_sampled(conn: Connection) -> None:
    """Beyond the limit the counts are about right, and marked; the total says that there are more."""
    conn.execute("create or replace function pgpipe_internal.most_counted() returns int language sql as 'select 1000'")
    conn.execute("create table doc (id int primary key, title text, kind int, search tsvector)")
    conn.execute("insert into doc select n, 'word', n % 10 from generate_series(1, 60000) n")
    conn.execute("select pgpipe.enable_search('doc', '{title=>A}', column_name => 'words'); analyze doc")
    found = conn.execute("select rows, exact from pgpipe.facets('doc', 'word', '[\"kind\"]')").fetchall()

    assert len(found) == 10
    assert all(4500 < rows < 7500 and not exact for rows, exact in found), found
    assert conn.execute("select rows, exact from pgpipe.total('doc', 'word')").fetchone() == (1000, False)
    few = conn.execute(
        "select sum(rows), bool_and(exact) from pgpipe.facets('doc', 'word', '[\"kind\"]', %s)",
        ('{"id": {"lte": 50}}',),
    ).fetchone()
    assert few == (50, True)


def test_hidden_rows_and_columns_are_not_counted(shop: Connection) -> None:
    """Row policies hold inside, and a column that may not be read is refused: also as a range."""
    shop.execute("create role narrow; grant usage on schema pgpipe to narrow")
    shop.execute("grant select on pgpipe.search, pgpipe.search_fill, pgpipe.lexeme, pgpipe.embedding to narrow")
    shop.execute("grant select (id, title, brand, search) on product to narrow")
    shop.execute("alter table product enable row level security; create policy few on product using (id < 2)")
    try:
        shop.execute("set role narrow")
        assert shop.execute(FACETS, ("jacket", '["brand"]', None)).fetchall() == [("brand", "Acme", 1)]
        assert shop.execute(TOTAL, ("jacket", None)).fetchone() == (1, True)
        for columns in ('["tags"]', '["data.colour"]', '[{"price": [1]}]'):
            assert sqlstate(shop, FACETS, "jacket", columns, None) == "42501", columns
        assert column(shop, "select value from pgpipe.facets('product', null, '[\"title\"]')") == ["Rain jacket"]
    finally:
        shop.execute("reset role; drop owned by narrow; drop role narrow")
    assert value(shop, "select count(*) from product") == 5
