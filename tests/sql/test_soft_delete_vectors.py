"""Vectors of rows that are marked as gone: kept, not searched, not computed; there again when the row comes back."""

import psycopg
import pytest

from pgpipe.db import Connection, Database
from tests.sql.fake_model import Fake, make_worker
from tests.sql.support import column, embed, jobs, make_docs, sqlstate, value
from tests.sql.test_search_permissions import grant, reader  # noqa: F401 - a fixture

GONE = "update doc set deleted_at = now() where id = any (%s)"
BACK = "update doc set deleted_at = null where id = any (%s)"
STORED = "select id from doc_embedding order by id"
NEAR = """
    select (key ->> 'id')::int from pgpipe.{} (
        'doc', {} (select vector from doc_embedding where id = 1), k => 9, filter => %s)
     order by 1
"""

SEARCHES = (
    "pgpipe.text_search('doc', 'title')",
    "pgpipe.vector_search('doc', '[1,2,3]')",
    "pgpipe.hybrid_search('doc', 'title', '[1,2,3]')",
)


def test_vectors_of_marked_rows(any_database: Database, conn: Connection) -> None:
    """Issue 13: a marked row costs no embedding and keeps its vector; what changed meanwhile is embedded on return."""
    make_docs(conn, 6)
    conn.execute("update doc set size = id")
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
    first = embed(conn, model="fake", dims=3)
    worker = make_worker(any_database, model := Fake())
    conn.execute("delete from pgpipe.job where key = '{\"id\": 6}'")  # it has no vector
    worker.drain()
    conn.execute("select pgpipe.enable_filters('doc', '{size}')")
    conn.execute("select pgpipe_internal.set_soft_delete('doc', 'deleted_at')")
    conn.execute("update doc set title = 'new' where id = 5")
    conn.execute(GONE, ([2, 3, 5],))
    model.calls.clear()
    worker.drain()
    for search, question in (("vector_search", ""), ("hybrid_search", "'title',")):
        near = NEAR.format(search, question)
        assert column(conn, near, None) == ([1, 4] if search == "vector_search" else [1, 4, 6])
        assert column(conn, near, '{"size": {"lt": 4}}') == [1]
        assert column(conn, near, '{"size": {"lt": 4}, "title": {"ne": null}}') == [1]
    value(conn, "select examined from pgpipe_internal.reconcile_rows(%s)", first)
    assert list(jobs(conn, first)) == ['{"id": 6}']
    worker.drain()
    assert (column(conn, STORED), len(model.calls)) == ([1, 2, 3, 4, 6], 1)
    second = embed(conn, model="fake", dims=3, name="second")
    assert len(jobs(conn, second)) == 3
    assert value(conn, "select missing from pgpipe.embedding_drift('doc')") == 0

    model.calls.clear()
    conn.execute("update doc set body = 'other' where id = 3")
    conn.execute(BACK, ([2, 3, 5],))
    assert len(jobs(conn, first)) == 3
    conn.execute("select pgpipe.disable_embedding('doc', 'second')")
    worker.drain()
    assert sorted(text for call in model.calls for text in call) == sorted(
        column(conn, "select title || E'\\n' || body from doc where id in (3, 5)")
    )
    assert column(conn, STORED) == [1, 2, 3, 4, 5, 6]
    assert column(conn, "select coverage from pgpipe.embedding_status") == [1]


def test_who_may_not_read_the_marks(conn: Connection, reader: Connection) -> None:  # noqa: F811
    """Issue 13: a role without right to the column of the marks is told the grant. To mark rows needs no DELETE."""
    grant(conn, reader, "(id, title, search), insert, update, trigger")
    missing = "pgpipe_internal.missing_rights('doc', 'snapshot')"
    lacking = f"select coalesce(substring({missing}, 'lacks (.*) on .*which'), '')"
    assert value(reader, lacking) == "DELETE"
    conn.execute("select pgpipe_internal.set_soft_delete('doc', 'deleted_at')")
    assert value(reader, lacking) == ""  # a mark is an update
    conn.execute(GONE, ([2],))
    searches = [f"select (key ->> 'id')::int from {each} order by 1" for each in SEARCHES]
    for search in searches:
        with pytest.raises(psycopg.Error, match=r"column deleted_at, which .* may not read(?s:.*)grant select"):
            reader.execute(search.encode())
    grant(conn, reader, "(deleted_at)")
    assert [column(reader, search) for search in searches] == [[1, 3, 4, 5, 6]] * 3
    assert sqlstate(reader, "select pgpipe_internal.set_soft_delete('doc', '')") in {"42501", "PP010"}
    assert sqlstate(reader, "insert into pgpipe.soft_delete values ('doc', 'size')") == "42501"
