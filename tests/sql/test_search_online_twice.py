"""A search column for a table in use: two fillers, both kinds of columns, and a view on the old one."""

import random

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgpipe.db import Connection, Database
from pgpipe.searching import fill
from tests.conftest import also_on_16
from tests.fixtures.examples import examples
from tests.sql.support import make_docs, value
from tests.sql.test_search_online import ONLINE, fill_all, found

TEXTS = st.one_of(st.none(), st.text(alphabet="aeb \u00e4\u4e2dT'\\<&-.1", max_size=12))


WRITES = st.lists(
    st.tuples(st.sampled_from(["insert", "update", "move", "delete", "fill"]), st.integers(1, 12), TEXTS, TEXTS),
    max_size=25,
)


@pytest.mark.usefixtures("conn")
@settings(max_examples=examples(10, 25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(writes=WRITES, seed=st.integers(0, 9))
def test_both_modes_answer_alike(
    conn: Connection, writes: list[tuple[str, int, str | None, str | None]], seed: int
) -> None:
    """After any writes, in any order with the batches, the filled column is the generated one, value by value."""
    conn.execute("drop table if exists doc")
    make_docs(conn, 8)
    conn.execute(ONLINE)
    twin = "alter table doc add column twin tsvector generated always as ({}) stored"
    expression = value(
        conn, "select pgpipe_internal.search_expression('doc', weights, language::regconfig) from pgpipe.search_fill"
    )
    conn.execute(twin.format(expression).encode())
    pick = random.Random(seed)
    for kind, id_, title, body in writes:
        if kind == "insert":
            conn.execute("insert into doc values (%s, %s, %s) on conflict do nothing", (id_, title, body))
        elif kind == "update":
            conn.execute("update doc set title = %s, body = %s where id = %s", (title, body, id_))
        elif kind == "move":
            conn.execute("update doc set size = %s where id = %s", (pick.randrange(99), id_))
        elif kind == "delete":
            conn.execute("delete from doc where id = %s", (id_,))
        elif fill.pending(conn):
            conn.execute("select pgpipe_internal.fill_batch('doc', 3)")
    conn.execute("alter table doc alter column twin drop expression")
    fill_all(conn)

    assert conn.execute("select id, search, twin from doc where search is distinct from twin").fetchall() == []


def test_two_fillers(any_database: Database, conn: Connection) -> None:
    """One fills, the other says so and leaves."""
    make_docs(conn, 10)
    conn.execute(ONLINE)
    (target,) = fill.pending(conn)
    with any_database.connect(autocommit=True) as own:
        own.execute(fill.TRY_LOCK.encode(), (target.oid,))
        assert fill.fill(conn, target, lambda _rows: None) is False
        own.execute(fill.UNLOCK.encode(), (target.oid,))
    assert fill.fill(conn, target, lambda _rows: None) is True


@also_on_16
def test_a_view_on_the_old_column(conn: Connection) -> None:
    """What depends on the column that serves stops the swap with the server's own words, and nothing is lost."""
    make_docs(conn, 10)
    conn.execute("select pgpipe.enable_search('doc', '{title=>A}')")
    conn.execute("create view seen as select id, search from doc")
    conn.execute("select pgpipe.alter_search('doc', '{body=>A}')")
    with pytest.raises(Exception, match="depend") as caught:
        fill_all(conn)
    assert isinstance(caught.value.__cause__, psycopg.Error)
    assert found(conn, "title") != []
    conn.execute("drop view seen")
    fill_all(conn)
    assert (found(conn, "title"), len(found(conn, "body"))) == ([], 10)
