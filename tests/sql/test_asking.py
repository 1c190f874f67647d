"""The Python function over small tables: which table is meant, which values a filter takes, what is refused."""

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

import pgpipe
from pgpipe import errors
from pgpipe.db import Connection, Database
from pgpipe.searching.passage import as_html
from pgpipe.settings.model import Settings
from tests.conftest import also_on_16
from tests.sql.support import value

TABLE = """
    create table doc (id int primary key, title text, day date, at timestamptz, price numeric, u uuid);
    insert into doc values (1, 'okapi', '2024-01-01', '2024-01-01 12:00Z', 1.5, '00000000-0000-0000-0000-000000000001'),
                           (2, 'okapi', '2025-01-01', '2025-01-01 12:00Z', 2.5, null);
    select pgpipe.enable_search('doc', '{title=>A}');
"""


@pytest.fixture
def doc(conn: Connection) -> None:
    """Two docs that are searched."""
    conn.execute(TABLE.encode())


def ids(database: Database, query: str = "okapi", **how: Any) -> list[int]:
    """Ids of the answers."""
    hits = pgpipe.search(query, mode=how.pop("mode", "text"), settings=Settings(), database=database, **how)
    return [hit.key["id"] for hit in hits]


@pytest.mark.usefixtures("doc")
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"day": {"lt": dt.date(2024, 6, 1)}}, [1]),
        ({"at": {"gte": dt.datetime(2024, 6, 1, tzinfo=dt.UTC)}}, [2]),
        ({"price": Decimal("1.5")}, [1]),
        ({"price": [Decimal("1.5"), 2.5]}, [1, 2]),
        ({"u": UUID(int=1)}, [1]),
        ({"id": {2, 3}}, [2]),
        ({"id": (1, 2)}, [1, 2]),
        ({"u": None}, [2]),
        ({}, [1, 2]),
    ],
)
def test_values_of_a_filter(any_database: Database, where: dict[str, Any], expected: list[int]) -> None:
    """What a program has in its hands: dates, decimals, uuids, sets and tuples as well as what JSON knows."""
    assert ids(any_database, filter=where) == expected


@also_on_16
def test_passages_of_a_page(any_database: Database, conn: Connection) -> None:
    """V33: a passage is the row's own text; its escaped form has the marks as its only tags, in SQL and in Python."""
    conn.execute(TABLE.encode())
    conn.execute("update doc set title = %s where id = 2", ("""<img src=x onerror="a('b')" &lt; okapi <b""",))

    hit = pgpipe.search("okapi", mode="text", settings=Settings(), database=any_database, filter={"id": 2})[0]

    assert hit.passage == """<img src=x onerror="a('b')" &lt; <b>okapi</b> <b"""
    escaped = "&lt;img src=x onerror=&quot;a({0}b{0})&quot; &amp;lt; <b>okapi</b> &lt;b"
    assert value(conn, "select pgpipe.escape_passage(%s)", hit.passage) == escaped.format("&#39;")
    assert hit.html == escaped.format("&#x27;")
    assert value(conn, "select pgpipe.escape_passage('a <b>b')") == "a <b>b</b>"
    assert as_html("a <b>b") == "a <b>b</b>"


@pytest.mark.usefixtures("doc")
@pytest.mark.parametrize(
    ("how", "line"),
    [
        ({"filter": {"price": float("nan")}}, "the filter is not valid JSON"),
        ({"filter": {"title": b"okapi"}}, "the filter is not valid JSON: it holds a bytes"),
        ({"mode": "foo"}, "unknown mode 'foo'; the modes are text, vector, hybrid"),
        ({"k": -1}, "k and skip are numbers from 0 on, not -1 and 0"),
        ({"skip": -1}, "k and skip are numbers from 0 on, not 10 and -1"),
        ({"entity": "nope"}, "unknown entity 'nope'; searchable are doc"),
    ],
)
def test_what_means_nothing(any_database: Database, how: dict[str, Any], line: str) -> None:
    """One line of an error of ours, not one of some library."""
    with pytest.raises(errors.PgpipeError) as caught:
        ids(any_database, **how)
    assert line in str(caught.value)


@also_on_16
@pytest.mark.usefixtures("doc")
def test_halves_of_characters(any_database: Database) -> None:
    """A shell may hand over bytes that are no UTF-8, and a program a NUL: they count as no word."""
    assert ids(any_database, "\udcff okapi\0 \ud800") == [1, 2]


@pytest.mark.usefixtures("doc")
def test_tables_of_one_name(any_database: Database, conn: Connection) -> None:
    """Two schemas with a table of that name: none is taken in silence, and a name alone is of `database.schema`."""
    conn.execute("create schema shop; create table shop.doc (id int primary key, title text)")
    conn.execute("insert into shop.doc values (7, 'okapi'); select pgpipe.enable_search('shop.doc', '{title=>A}')")
    with pytest.raises(errors.UsageError, match=r"which entity\? .* doc, shop\.doc"):
        ids(any_database, entity=None)
    assert ids(any_database, entity="shop.doc") == [7]
    assert ids(any_database, entity="doc") == ids(any_database, entity="public.doc") == [1, 2]
    both = pgpipe.search("okapi", ["doc", "shop.doc"], "text", settings=Settings(), database=any_database)
    assert {(hit.entity, hit.key["id"]) for hit in both} == {("doc", 1), ("doc", 2), ("shop.doc", 7)}
    assert pgpipe.similar({"id": 1}, "doc", settings=Settings(), database=any_database)[0].key == {"id": 2}
    with pytest.raises(errors.UsageError, match="several entities are merged by their scores"):
        ids(any_database, entity=["doc", "shop.doc"], order_by="id")
