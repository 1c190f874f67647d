"""docs/search.md: its SQL runs as it stands."""

import re
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from pgpipe.db import Connection, Database
from tests.sql.support import drain, embed

PAGE = Path(__file__).parents[2] / "docs/search.md"
BLOCKS = re.findall(r"^```sql\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
TABLES = """
    create table product (id int primary key, title text, description text, notes text);
    create table article (id int primary key, title text, body text, lang text, year int, popularity int,
                          updated_at timestamptz);
    create table hotel (id int primary key, name text);
    create table manual (id int primary key, name text);
    create table sale (shop uuid, day date, note text, primary key (shop, day));
    insert into sale values ('00000000-0000-0000-0000-000000000001', '2026-11-27', 'broken glass');
    select pgpipe.enable_search('sale', '{note=>A}');
    create table big_table (id int primary key, title text);
    insert into product values (1, 'Rain jacket', 'waterproof', 'okapi');
    insert into article values (1, 'Compress a file', 'With a compressor.', 'en', 2024);
    insert into article values (2, 'Dateien', 'Haus', 'de', 2019);
    insert into big_table select n, 'title ' || n from generate_series(1, 5000) n;
"""


FIRST = {  # the first column of the one row that a block's statement finds
    '"boost"': {"id": 1},
    '"order_by"': {"id": 1},
    '"explain"': {"id": 1},
    "pgpipe.similar(": {"id": 2},
    "search_all": "article",
    "using (id)": 1,
    "using (shop, day)": UUID(int=1),
}


def run(conn: Connection, block: str, *, unaccent: bool) -> None:
    """Run a block statement by statement; the index that a fill asks for is built as it says."""
    if "-- needs: unaccent" in block and not unaccent:
        return
    for statement in re.split(r";\n", re.sub(r"^--.*\n", "", block, flags=re.MULTILINE)):
        if statement.strip():
            conn.execute(statement.replace(":vector", "'[1,0,0]'").encode())
        if "fill_search" in statement:
            for table in re.findall(r"'(\w+)'", statement):
                for (index,) in conn.execute(
                    "select * from pgpipe_internal.search_index_statements(%s)", (table,)
                ).fetchall():
                    conn.execute(index.encode())
                conn.execute("select pgpipe_internal.finish_search(%s)", (table,))


def test_the_page(database: Database) -> None:
    """From the first declaration to the role that searches."""
    with database.connect(autocommit=True) as conn:
        conn.execute(TABLES.encode())
        drain(conn, embed(conn, "article", ["title", "body"]))
        try:
            for block in BLOCKS:
                run(conn, block, unaccent=False)
                answer(conn, block)
            searched = conn.execute("select target::text from pgpipe.search order by 1").fetchall()
        finally:
            if conn.execute("select 1 from pg_roles where rolname = 'searcher'").fetchone():
                conn.execute("drop owned by searcher; drop role searcher")
    assert searched == [("article",), ("big_table",), ("manual",), ("product",), ("sale",)]


def answer(conn: Connection, block: str) -> None:
    """What a block promises beyond running."""
    if "notes=>C" in block:
        assert conn.execute("select key from pgpipe.text_search('product', 'okapi')").fetchall() == [({"id": 1},)]
    if "disable_search('product')" in block:  # what follows asks it again
        conn.execute("select pgpipe.enable_search('product', '{title=>A, description=>B}')")
    if "watreproof" in block:
        asked = block[block.index("select key") :].encode()
        assert conn.execute(asked).fetchall() == [({"id": 1}, "waterproof jacket")]
    if "pgpipe.suggest" in block:
        assert conn.execute(block.encode()).fetchall() == [("rain jacket", "word", 1), ("Rain jacket", "title", None)]
    if "a yellow coat" in block:
        assert conn.execute(block[block.index("select key") :].encode()).fetchall() == [({"id": 1},)]
    if "pgpipe.facets" in block:
        facets, total = block.split(";\n")[:2]
        assert [row[:3] for row in conn.execute(facets.encode()).fetchall()] == [
            ("title", "Rain jacket", 1), ("id", "(,10)", 1), ("id", "[10,100)", 0), ("id", "[100,)", 0),
        ]  # fmt: skip
        assert conn.execute(total.encode()).fetchall() == [(1, True)]
    if "hybrid_search" in block:
        statement = block[block.index("select key, score, text_rank") :].replace(":vector", "'[1,0,0]'")
        assert [row[0]["id"] for row in conn.execute(statement.encode()).fetchall()] == [1]
    for part, first in FIRST.items():
        if part in block:
            assert [row[0] for row in conn.execute(block.encode()).fetchall()] == [first], part


def test_accents(plain_database: Database) -> None:
    """The block that needs an extension which the embedded server lacks."""
    (block,) = [b for b in BLOCKS if "-- needs: unaccent" in b]
    with plain_database.connect(autocommit=True) as conn:
        conn.execute("create table hotel (id int primary key, name text)")
        conn.execute("insert into hotel values (1, 'Hôtel de la Plage')")
        run(conn, block, unaccent=True)
        assert conn.execute("select key from pgpipe.text_search('hotel', 'hotel')").fetchall() == [({"id": 1},)]


def test_the_table_of_filters(database: Database) -> None:
    """Each line is a filter that means something on a table with such columns."""
    lines = PAGE.read_text(encoding="utf-8").split("### Filters")[1].split("Names and values")[0]
    filters = re.findall(r"`(\{.*?\})`(?=,| \|)", lines)
    assert len(filters) >= 12
    with database.connect(autocommit=True) as conn:
        conn.execute("create table thing (id int primary key, brand text, price numeric, tags text[], data jsonb)")
        for where in filters:
            row = conn.execute("select pgpipe_internal.filter_condition('thing', 't', %s)", (where,)).fetchone()
            assert row is not None
            conn.execute(sql.SQL("select from thing t where {}").format(sql.SQL(row[0])))


def test_a_role_that_searches_does_not_write(database: Database) -> None:
    """The grants of the page are enough to search and not to write."""
    grants = next(b for b in BLOCKS if "create role searcher" in b)
    with database.connect() as conn:
        conn.execute(TABLES.encode())
        drain(conn, embed(conn, "article", ["title", "body"]))
        conn.execute("select pgpipe.enable_search('article', '{title=>A}')")
        conn.execute(grants.encode())
        conn.execute("set role searcher")
        assert conn.execute("select key from pgpipe.text_search('article', 'file')").fetchall() == [({"id": 1},)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("delete from article")
        conn.rollback()
