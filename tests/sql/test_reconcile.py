"""Reconcile, drift and the status views: what no trigger saw is found, and what is said of the queue is so."""

import pytest

from pgpipe.db import Connection
from pgpipe.embed import queue
from pgpipe.embed.reconcile import reconcile
from tests.conftest import also_on_16
from tests.sql.support import column, drain, embed, embedded_docs, jobs, make_docs, stored, value

DRIFT = "select name, missing, other_text, other_model, orphans from pgpipe.embedding_drift('doc')"


def unseen(conn: Connection, *statements: str) -> None:
    """Changes that no trigger sees, foreign keys included."""
    with conn.transaction():
        conn.execute("set local session_replication_role = replica")
        for statement in statements:
            conn.execute(statement.encode())


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_what_no_trigger_saw_is_found(conn: Connection, step: int) -> None:
    """Rows inserted, changed and deleted behind the triggers, and vectors of another model: those, and no others."""
    embedding = embedded_docs(conn, 12)
    unseen(
        conn,
        "insert into doc values (20, 'new', '', 0), (0, 'first', '', 0)",
        "update doc set title = 'changed' where id = 3",
        "update doc set size = 99 where id = 4",
        "delete from doc where id in (5, 12)",
        "update doc_embedding set model = 'older' where id = 6",
        "update doc set title = null, body = ' ' where id = 7",
    )
    one = queue.embeddings(conn)[0]
    told: list[int] = []

    found = reconcile(conn, one, told.append, step)

    assert set(jobs(conn, embedding)) == {f'{{"id": {n}}}' for n in (0, 3, 5, 6, 7, 12, 20)}
    assert (found.examined, found.enqueued, sum(told)) == (12, 7, 12)
    drain(conn, embedding)
    assert stored(conn) == [0, 1, 2, 3, 4, 6, 8, 9, 10, 11, 20]
    assert reconcile(conn, one, step=step).enqueued == 0


def test_an_interrupted_one_goes_on(conn: Connection) -> None:
    """Every range is committed with its place: the next call starts behind it."""
    embedding = embedded_docs(conn, 10)
    unseen(conn, "update doc set title = 'x'")
    conn.execute("select pgpipe_internal.reconcile_rows(%s, 4)", (embedding,))
    assert len(jobs(conn, embedding)) == 4
    conn.execute("delete from pgpipe.job")

    found = reconcile(conn, queue.embeddings(conn)[0], step=4)

    assert len(jobs(conn, embedding)) == 6
    assert (found.examined, found.enqueued) == (10, 10)
    assert column(conn, "select embedding_id from pgpipe.reconciliation") == []


@also_on_16
def test_triggers_come_back(conn: Connection) -> None:
    """A trigger that is missing or off is there again after a reconcile."""
    embedding = embedded_docs(conn, 2)
    conn.execute(f"drop trigger pgpipe_insert_{embedding} on doc")
    conn.execute(f"alter table doc disable trigger pgpipe_update_{embedding}")

    reconcile(conn, queue.embeddings(conn)[0])

    conn.execute("insert into doc values (3, 'three', '', 0)")
    conn.execute("update doc set title = 'one' where id = 1")
    assert set(jobs(conn, embedding)) == {'{"id": 1}', '{"id": 3}'}


def test_a_writer_is_not_waited_for(conn: Connection, other: Connection) -> None:
    """A row that somebody is changing is left to his trigger."""
    embedding = embedded_docs(conn, 3)
    unseen(conn, "update doc set title = 'x'")
    conn.execute("set lock_timeout = '1s'")
    with other.transaction():
        other.execute("update doc set title = 'y' where id = 2")
        reconcile(conn, queue.embeddings(conn)[0])
        assert set(jobs(conn, embedding)) == {'{"id": 1}', '{"id": 3}'}
    assert len(jobs(conn, embedding)) == 3


@also_on_16
def test_drift(conn: Connection) -> None:
    """Shares of the rows: without a vector, of another text, of another model; and of vectors without a row."""
    embedded_docs(conn, 10)
    assert conn.execute(DRIFT).fetchall() == [("default", 0, 0, 0, 0)]
    unseen(
        conn,
        "update doc set title = 'changed' where id = 1",
        "update doc_embedding set model = 'older' where id in (1, 2)",
        "delete from doc where id = 9",
        "insert into doc values (11, 'new', '', 0)",
    )

    assert conn.execute(DRIFT).fetchall() == [("default", 0.1, pytest.approx(1 / 9), pytest.approx(2 / 9), 0.1)]


def test_status(conn: Connection, other: Connection) -> None:
    """Coverage counts rows without a job; the oldest snapshot that holds vacuum back has its holder named."""
    make_docs(conn, 10)
    embedding = embed(conn)
    status = "select rows, waiting, coverage, eta from pgpipe.embedding_status"
    assert conn.execute(status).fetchone() == (10, 10, 0, None)
    drain(conn, embedding)
    conn.execute("update doc set title = 'x' where id = 1")

    status = "select waiting, coverage::float8, rate::float8, eta > '0' from pgpipe.embedding_status"
    expected = (1, pytest.approx(0.9), pytest.approx(10 / 60, abs=0.05), True)
    assert conn.execute(status).fetchone() == expected
    with other.transaction():
        other.execute("set transaction isolation level repeatable read")
        other.execute("set local application_name = 'a long report'")
        other.execute("select 1 from doc")
        holder = value(conn, "select oldest_snapshot from pgpipe.queue_status")
        assert "a long report" in holder
