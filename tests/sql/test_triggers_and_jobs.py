"""What a change does to a job that is there, and who may write a target."""

from pgpipe.db import Connection
from tests.sql.support import (
    claim,
    embedded_docs,
    fail,
    job,
    jobs,
)


def test_a_second_change_moves_gen_and_leaves_the_lease(conn: Connection) -> None:
    """Enqueued while a worker holds it: gen tells that worker; token, holder and expiry are as they were."""
    embedding = embedded_docs(conn)
    conn.execute("update doc set title = 'a' where id = 1")
    held = claim(conn, embedding)
    before = job(conn, embedding, '{"id": 1}')

    conn.execute("update doc set title = 'b' where id = 1")

    after = job(conn, embedding, '{"id": 1}')
    assert after["gen"] == before["gen"] + 1
    assert {k: after[k] for k in ("lease_token", "leased_by", "visible_at")} == {
        k: before[k] for k in ("lease_token", "leased_by", "visible_at")
    }
    assert after["lease_token"] == str(held.token)


def test_a_change_revives_a_dead_job(conn: Connection) -> None:
    """A dead job of a row that changed is ready again, with all its attempts before it."""
    embedding = embedded_docs(conn)
    conn.execute("update pgpipe.embedding set max_attempts = 1")
    conn.execute("update doc set title = 'poison' where id = 1")
    fail(conn, claim(conn, embedding), charge=True)
    assert job(conn, embedding, '{"id": 1}')["dead_at"] is not None

    conn.execute("update doc set title = 'cured' where id = 1")

    revived = job(conn, embedding, '{"id": 1}')
    assert (revived["dead_at"], revived["attempts"], revived["ready"]) == (None, 0, True)


def test_a_change_ends_a_back_off(conn: Connection) -> None:
    """A job that waits after a failure is ready at once when its row changes."""
    embedding = embedded_docs(conn)
    conn.execute("update doc set title = 'flaky' where id = 1")
    fail(conn, claim(conn, embedding), charge=True)
    assert not job(conn, embedding, '{"id": 1}')["ready"]

    conn.execute("update doc set title = 'fine' where id = 1")

    assert job(conn, embedding, '{"id": 1}')["ready"]


def test_a_writer_needs_no_right_but_on_the_table(conn: Connection) -> None:
    """A role that knows nothing of pgpipe may write the target: the triggers work with their owner's rights."""
    embedding = embedded_docs(conn)
    conn.execute("create role writer")
    try:
        conn.execute("grant select, insert, update, delete on doc to writer")
        conn.execute("set role writer")
        conn.execute("insert into doc values (9, 'by', 'writer', 0)")
        conn.execute("update doc set title = 'by writer' where id = 1")
        conn.execute("update doc set id = 20 where id = 2")
        conn.execute("delete from doc where id = 3")
        conn.execute("reset role")
        assert sorted(jobs(conn, embedding)) == sorted(f'{{"id": {key}}}' for key in (1, 2, 3, 9, 20))
    finally:
        conn.execute("reset role")
        conn.execute("drop owned by writer")
        conn.execute("drop role writer")
