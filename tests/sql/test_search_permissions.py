"""A role that may search and nothing else: what it finds, what it cannot do, and what no answer gives away."""

import json
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgpipe.db import Connection, Database
from tests.conftest import also_on_16
from tests.sql.support import VECTOR, column, drain, embed, make_docs, sqlstate, value

TEXT = "select (key ->> 'id')::int from pgpipe.text_search('doc', %s, 10, %s)"
NEAR = "select (key ->> 'id')::int from pgpipe.vector_search('doc', %s, %s, %s)"
HYBRID = "select (key ->> 'id')::int from pgpipe.hybrid_search('doc', %s, %s, 10, %s)"
GRANTS = """
    grant usage on schema pgpipe to {role};
    grant select on pgpipe.search, pgpipe.search_fill, pgpipe.lexeme, pgpipe.embedding to {role};
    grant select on doc_embedding to {role};
"""


@pytest.fixture
def reader(any_database: Database, conn: Connection) -> Iterator[Connection]:
    """A login of its own that was granted what searching needs, but nothing on doc itself; six docs are searchable."""
    make_docs(conn, 6)
    conn.execute("update doc set body = 'secret' where id > 3")
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
    conn.execute("select pgpipe.refresh_search('doc')")
    drain(conn, embed(conn))
    name = f"reader_{uuid.uuid4().hex[:8]}"
    role = sql.Identifier(name)
    conn.execute(sql.SQL("create role {} login").format(role))
    conn.execute(sql.SQL(GRANTS).format(role=role))
    with psycopg.connect(make_conninfo(any_database.url, user=name), autocommit=True) as own:
        yield own
    conn.execute(sql.SQL("drop owned by {role}; drop role {role}").format(role=role))


def grant(conn: Connection, reader: Connection, what: str) -> None:
    """Let the reader read the doc, or some of its columns."""
    role = sql.Identifier(reader.info.user)
    conn.execute(sql.SQL("grant select {} on doc to {}").format(sql.SQL(what), role))  # type: ignore[arg-type]


@also_on_16
def test_it_searches(conn: Connection, reader: Connection) -> None:
    """All three ways, filters and beginnings of words included."""
    grant(conn, reader, "")
    where = json.dumps({"size": {"gte": 5}})

    assert column(reader, TEXT, "secret", None) == [4, 5, 6]
    assert column(reader, TEXT, "secr*", where) == [5, 6]
    assert column(reader, NEAR, VECTOR, 10, where) == [5, 6]
    assert column(reader, HYBRID, "secret", VECTOR, where) == [5, 6]
    assert value(reader, "select count(*) from pgpipe.lexeme") > 0


def test_and_nothing_else(conn: Connection, reader: Connection) -> None:
    """It writes nothing, declares nothing and sees no queue."""
    grant(conn, reader, "")
    for statement in (
        "insert into doc values (9)",
        "update doc set title = ''",
        "delete from doc",
        "delete from doc_embedding",
        "select * from pgpipe.job",
        "delete from pgpipe.lexeme",
        "update pgpipe.search set weights = '{}'",
        "select pgpipe.disable_search('doc')",
        "select pgpipe.alter_search('doc', '{title=>A}')",
        "select pgpipe.enable_search('doc_embedding', '{model=>A}')",
        "select pgpipe.refresh_search('doc')",
        "select pgpipe_internal.enqueue_all(1)",
        "select pgpipe.disable_embedding('doc')",
    ):
        assert sqlstate(reader, statement) == "42501", statement


def test_without_the_table_nothing_is_told(reader: Connection) -> None:
    """A role that may not read the table gets no row of it, no passage, and none of its words."""
    assert sqlstate(reader, TEXT, "secret", None) == "42501"
    assert sqlstate(reader, HYBRID, "secret", VECTOR, None) == "42501"
    assert sqlstate(reader, NEAR, VECTOR, 10, None) == "42501"
    assert column(reader, "select lexeme from pgpipe.lexeme") == []


def test_columns_that_it_may_not_read(conn: Connection, reader: Connection) -> None:
    """They are in no row and no passage, and a filter cannot probe them."""
    grant(conn, reader, "(id, title, search)")

    shown = """select passage, row from pgpipe.{}, options => '{{"row": true}}')"""
    text = reader.execute(shown.format("text_search('doc', 'title 4'").encode()).fetchall()
    near = reader.execute(shown.format("vector_search('doc', %s, 1").encode(), (VECTOR,)).fetchone()
    both = reader.execute(shown.format("hybrid_search('doc', 'secret', %s").encode(), (VECTOR,)).fetchall()

    assert text[0] == ("<b>title</b> <b>4</b>", {"id": 4, "title": "title 4"})
    assert near == (None, {"id": 1, "title": "title 1"})
    assert all("secret" not in str(found) and "body" not in str(found) for found in [*text, near, *both])
    for where in ({"size": 1}, {"body": "secret"}, {"body": {"gte": "s"}}):
        for search, values in ((TEXT, ("title",)), (NEAR, (VECTOR, 10)), (HYBRID, ("title", VECTOR))):
            assert sqlstate(reader, search, *values, json.dumps(where)) == "42501", (search, where)
    assert column(reader, TEXT, "title", json.dumps({"title": "title 2"})) == [2]
    arranged = "select key from pgpipe.text_search('doc', 'title', options => %s)"
    for options in ({"boost": {"size": {"log": 1}}}, {"order_by": "size"}, {"order_by": {"body": "desc"}}):
        assert sqlstate(reader, arranged, json.dumps(options)) == "42501", options
    assert column(reader, arranged, json.dumps({"order_by": {"title": "desc"}}))[0] == {"id": 6}
    like = reader.execute("select * from pgpipe.similar('doc', '{\"id\": 1}', options => '{\"row\": true}')").fetchall()
    assert len(like) == 5
    assert "secret" not in str(like)


@also_on_16
def test_rows_that_it_may_not_read(conn: Connection, reader: Connection) -> None:
    """Row level security holds inside the search: k rows that it may see are found, and no word of the others."""
    grant(conn, reader, "")
    conn.execute("alter table doc enable row level security")
    conn.execute("create policy few on doc using (id in (2, 6))")

    assert set(column(reader, TEXT, "title", None)) == {2, 6}
    assert column(reader, TEXT, "secret", None) == [6]
    assert column(reader, NEAR, VECTOR, 2, None) == [2, 6]
    assert column(reader, HYBRID, "secret", VECTOR, None) == [6, 2]
    assert column(reader, "select lexeme from pgpipe.lexeme") == []
    assert value(conn, "select count(*) from pgpipe.lexeme") > 0


def test_a_definer_does_not_widen_it(reader: Connection) -> None:
    """No search function runs with its owner's rights: what a caller may not read, it does not read for him."""
    ours = "select proname::text from pg_proc where pronamespace::regnamespace::text ~ '^pgpipe(_internal)?$'"
    definers = f"{ours} and prosecdef"
    found = f"{ours} and proname ~ '_search$|^rank_'"

    assert set(column(reader, found)) & set(column(reader, definers)) == set()
