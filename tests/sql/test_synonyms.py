"""Synonyms: a question that holds a term asks for its alternatives too."""

import pytest

from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.sql.support import column, drain, embed, sqlstate, value

SHOP = """
    create table product (id int primary key, title text);
    insert into product values
        (1, 'Jacket'), (2, 'Winter parka'), (3, 'Television set'), (4, 'Hat of New York'), (5, 'Notebooks'),
        (6, 'Laptop bag'), (7, 'Coat');
    select pgpipe.enable_search('product', '{title=>A}');
    select pgpipe.refresh_search('product');
    insert into pgpipe.synonym values
        ('product', 'coat', '{jacket,parka}', true), ('product', 'tv', '{television}', false),
        ('product', 'nyc', '{new york}', true), ('product', 'portable computer', '{laptop}', false)
"""
ASK = "select array_agg((key ->> 'id')::int order by (key ->> 'id')::int) from pgpipe.text_search('product', %s)"


@pytest.fixture
def shop(conn: Connection) -> Connection:
    """Seven products and four synonyms."""
    conn.execute(SHOP)
    return conn


FOUND = {
    "coat": [1, 2, 7],
    "PARKA": [1, 2, 7],
    "tv": [3],
    "television": [3],
    "cheap nyc": [4],
    "new york": [4],
    "york": [4],
    "a portable computer": [6],
    "portable": None,
    '"coat"': [7],  # a phrase is strict
    "jacket -coat": [1, 2],
    "notebook": [5],
}


@also_on_16
def test_what_a_question_finds(shop: Connection) -> None:
    """Both ways or one, words or phrases; what is in quotes or excluded stays as it is."""
    for question, expected in FOUND.items():
        assert value(shop, ASK, question) == expected, question
    passage = "select passage from pgpipe.text_search('product', 'coat') where key @> '{\"id\": 2}'"
    assert value(shop, passage) == "Winter <b>parka</b>"
    assert value(shop, "select rows from pgpipe.total('product', 'coat')") == 3
    drain(shop, embed(shop, "product", ["title"]))
    hybrid = "select count(text_rank) from pgpipe.hybrid_search('product', 'tv', '[1,0,0]')"
    assert value(shop, hybrid) == 1


def test_typing_and_errors(shop: Connection) -> None:
    """A term that no row holds is not taken for misspelt; a misspelt one is corrected first. The last word goes on."""
    shop.execute("insert into pgpipe.synonym values ('product', 'laptap', '{notebooks}', false)")
    assert value(shop, ASK, "laptap") == [5]
    found = shop.execute("select key ->> 'id', corrected from pgpipe.text_search('product', 'cooat')").fetchall()
    assert sorted(found) == [("1", "coat"), ("2", "coat"), ("7", "coat")]
    typed = ASK.replace("%s)", "%s, prefix => true)")
    assert value(shop, typed, "tv hat") == [3, 4]
    assert value(shop, typed, "tv lap") == [3, 6]


def test_who_writes_and_reads_synonyms(shop: Connection) -> None:
    """Who owns the target writes them, who may read it sees them; they stay while the search is declared again."""
    bad = [("Coat", ["x"]), ("", ["x"]), (" coat", ["x"]), ("coat", []), ("coat", ["X"]), ("coat", [None])]
    for term, alternatives in bad:
        assert (
            sqlstate(shop, "insert into pgpipe.synonym values ('product', %s, %s, false)", term, alternatives)
            == "23514"
        )
    shop.execute("create role narrow; grant usage on schema pgpipe to narrow")
    shop.execute("grant select, insert, update, delete on pgpipe.synonym to narrow")
    try:
        shop.execute("set role narrow")
        assert column(shop, "select term from pgpipe.synonym") == []
        assert sqlstate(shop, "insert into pgpipe.synonym values ('product', 'x', '{y}')") == "42501"
        shop.execute("reset role; grant select on product to narrow; set role narrow")
        assert len(column(shop, "select term from pgpipe.synonym")) == 4
        assert shop.execute("delete from pgpipe.synonym").rowcount == 0
        shop.execute("reset role; revoke all on pgpipe.synonym from narrow")
        shop.execute("grant select on pgpipe.search, pgpipe.search_fill, pgpipe.lexeme, pgpipe.word to narrow")
        shop.execute("set role narrow")
        assert value(shop, ASK, "coat") == [7]  # rights of before
    finally:
        shop.execute("reset role; drop owned by narrow; drop role narrow")
    shop.execute("select pgpipe.disable_search('product'); select pgpipe.enable_search('product', '{title=>A}')")
    assert value(shop, ASK, "tv") == [3]
    shop.execute("drop table product; create table doc (id int primary key, body text)")
    shop.execute("select pgpipe.enable_search('doc', '{body=>A}')")
    assert value(shop, "select count(*) from pgpipe.synonym") == 0
