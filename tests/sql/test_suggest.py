"""Suggestions while somebody types: words and titles, and none that the reader may not read."""

import pytest

from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.sql.support import column, sqlstate, value

SHOP = """
    create table product (id int primary key, title text, body text);
    insert into product values
        (1, 'Rain jacket', 'jackets jam'), (2, 'rain Jacket', 'jacket'), (3, 'Rain jar', 'jacket'),
        (4, 'Raincoat', 'Jamaica'), (5, null, 'jungle');
    select pgpipe.enable_search('product', '{title=>A, body=>B}');
    select pgpipe.refresh_search('product')
"""
SUGGEST = "select suggestion, kind, rows from pgpipe.suggest('product', %s, %s)"


@pytest.fixture
def shop(conn: Connection) -> Connection:
    """Five products."""
    conn.execute(SHOP)
    return conn


@also_on_16
def test_words_and_titles(shop: Connection) -> None:
    """The last word is completed, by the words that most rows hold; titles that begin so follow, each once."""
    asked = {
        ("Rain ja", 10): [
            ("Rain jacket", "word", 3), ("Rain jackets", "word", 1), ("Rain jam", "word", 1),
            ("Rain jamaica", "word", 1), ("Rain jar", "word", 1), ("Rain jacket", "title", None),
            ("Rain jar", "title", None),
        ],
        ("rain ja", 2): [("rain jacket", "word", 3), ("Rain jacket", "title", None)],
        ("ju", 5): [("jungle", "word", 1)],
        ("jungle", 5): [],
        ("rain ", 2): [("Rain jacket", "title", None), ("Rain jar", "title", None)],
        ("", 5): [],
        ("%", 5): [],
        ("zz", 5): [],
    }  # fmt: skip
    for (typed, k), expected in asked.items():
        found = shop.execute(SUGGEST, (typed, k)).fetchall()
        assert [(text.replace("rain Jacket", "Rain jacket"), *rest) for text, *rest in found] == expected, typed
    assert sqlstate(shop, SUGGEST, "x", -1) == "PP003"


def test_titles_of_a_large_table_need_an_index(shop: Connection) -> None:
    """Without it there are words alone, at once; with it no other row is read."""
    shop.execute("insert into product select n, 'Title ' || n, repeat('x', 200) from generate_series(10, 20000) n")
    shop.execute("analyze product")
    assert [row[1] for row in shop.execute(SUGGEST, ("rain j", 9)).fetchall()] == ["word"] * 6
    shop.execute('create index on product ((lower("left"(title, 100)) collate "C")); analyze product')
    found = column(shop, "select suggestion from pgpipe.suggest('product', 'title 199', 3)")
    assert found == ["Title 199", "Title 1990", "Title 19900"]
    statement = value(shop, "select pgpipe_internal.titles_statement('product', 'title')")
    plan = column(shop, f"explain {statement}".replace("$1", "'rain'").replace("$2", "'raio'").replace("$3", "5"))
    assert not any("Seq Scan" in line for line in plan), plan


def test_nothing_hidden_is_suggested(shop: Connection) -> None:
    """Neither words nor titles of columns and rows that the reader may not read."""
    shop.execute(
        "create role narrow; grant usage on schema pgpipe to narrow; grant select (id, body) on product to narrow"
    )
    shop.execute("grant select on pgpipe.search, pgpipe.search_fill, pgpipe.word, pgpipe.soft_delete to narrow")
    try:
        shop.execute("set role narrow")
        assert column(shop, "select suggestion from pgpipe.suggest('product', 'ra')") == []
        shop.execute("reset role; grant select on product to narrow; alter table product enable row level security")
        shop.execute("create policy few on product using (id = 4); set role narrow")
        assert column(shop, "select suggestion from pgpipe.suggest('product', 'ra')") == ["Raincoat"]
        shop.execute("reset role; revoke select on pgpipe.word from narrow; set role narrow")
        assert column(shop, "select suggestion from pgpipe.suggest('product', 'ra')") == ["Raincoat"]
    finally:
        shop.execute("reset role; drop owned by narrow; drop role narrow")


CASTS = """
    create type mood as enum ('sad', 'glad');
    create function said(mood) returns text immutable language plpgsql as $$
    begin
        if current_setting('test.armed', true) = 'yes' then
            raise exception 'a cast of the owner ran' using errcode = 'XX999';
        end if;
        return case $1 when 'sad' then 'sadness' else 'gladness' end;
    end $$;
    create cast (mood as text) with function said(mood);
    create table thing (id int primary key, title mood, moods mood[], body text);
    select pgpipe.enable_search('thing', '{body=>B}');
    update pgpipe.search set weights = '{"title": "A", "body": "B"}';  -- as a search that a trigger keeps may have it
    insert into thing values (1, 'sad', '{sad,glad,null}', 'rain'), (2, 'glad', null, 'rain');
    set test.armed = yes
"""


def test_no_cast_of_the_owner_runs(conn: Connection) -> None:
    """Who counts words, asks for suggestions or counts facets runs no cast that a type's owner made."""
    conn.execute(CASTS)
    conn.execute("select pgpipe.refresh_search('thing')")

    assert column(conn, "select word from pgpipe.word order by 1") == ["rain"]
    assert column(conn, "select suggestion from pgpipe.suggest('thing', 'ra')") == ["rain"]
    assert column(conn, "select suggestion from pgpipe.suggest('thing', 'sa')") == []
    counted = "select value, rows from pgpipe.facets('thing', 'rain', '[\"title\", \"moods\"]')"
    assert conn.execute(counted).fetchall() == [("glad", 1), ("sad", 1), ("glad", 1), ("sad", 1)]
