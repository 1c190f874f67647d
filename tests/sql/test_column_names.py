"""Columns called as things within the queries are: nothing of it shows, whichever part such a column has."""

import json

import pytest
from psycopg import sql

from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.fixtures.examples import in_turn
from tests.sql.support import column, drain, embed, jobs, sqlstate, value

NAMES = ["distance", "r", "n", "key", "hash", "t", "s", "row", "score", "document", "rank", "i", "f"]
CREATE = "create table doc ({key} int primary key, {text} text, {other} int)"
INSERT = "insert into doc select n, 'okapi ' || n, n % 4 from generate_series(1, 20) n"
CHANGES = (
    "update doc set {other} = 9 where {key} < 4",
    "update doc set {text} = 'an okapi' where {key} = 2",
    "update doc set {key} = {key} + 100 where {key} = 3",
)
SEARCHES = (
    "select key, \"row\" from pgpipe.text_search('doc', 'okapi', 30, %s, options => '{\"row\": true}')",
    "select key, \"row\" from pgpipe.vector_search('doc', '[1,0,0]', 30, %s, options => '{\"row\": true}')",
    "select key, \"row\" from pgpipe.hybrid_search('doc', 'okapi', '[1,0,0]', 30, %s, options => '{\"row\": true}')",
)


@pytest.mark.parametrize(("name", "part"), in_turn([(name,) for name in NAMES], ["key", "text", "other"]))
def test_any_name(conn: Connection, name: str, part: str) -> None:
    """Searched and embedded, changed, filtered with a filter table and without, reconciled."""
    called = {"key": "id", "text": "title", "other": "size"} | {part: name}
    names = {role: sql.Identifier(column_name) for role, column_name in called.items()}
    conn.execute(sql.SQL(CREATE).format(**names))
    conn.execute(INSERT)
    conn.execute("select pgpipe.enable_search('doc', %s)", (json.dumps({called["text"]: "A"}),))
    embedding = embed(conn, columns=[called["text"]])
    drain(conn, embedding)
    for kept in ([], [called["other"]]):
        conn.execute("select pgpipe.enable_filters('doc', %s)", (kept,))
        with conn.transaction(force_rollback=True):
            for change in CHANGES:
                conn.execute(sql.SQL(change).format(**names))
            drain(conn, embedding)
            for search in SEARCHES:
                found = conn.execute(search, (json.dumps({called["other"]: 9}),)).fetchall()
                assert sorted(key[called["key"]] for key, _ in found) == [1, 2, 103]
                assert all(row.keys() == set(called.values()) for _, row in found)
            conn.execute("select pgpipe_internal.reconcile_rows(%s)", (embedding,))
            assert jobs(conn, embedding) == {}
            assert value(conn, "select other_text from pgpipe.embedding_drift('doc')") == 0
            assert column(conn, "select filter_error from pgpipe.embedding") == [None]


@also_on_16
@pytest.mark.parametrize("name", ["chunk", "model", "vector"])
def test_names_that_a_store_needs(conn: Connection, name: str) -> None:
    """A key column of such a name is refused in words; any other column may have it."""
    conn.execute(sql.SQL("create table doc ({} int primary key, title text)").format(sql.Identifier(name)))

    assert sqlstate(conn, "select pgpipe.enable_embedding('doc', '{title}', 'm', 3)") == "PP003"
