"""V24: a definition that changes without a lock on the table, while a worker is in the midst of its batch."""

from pgpipe.db import Connection, Database
from tests.conftest import also_on_16
from tests.sql.support import claim, drain, embed, finish, jobs, value

STATUS = "select coverage::float8, reason from pgpipe.embedding_status"
SWEEP = "select enqueued from pgpipe_internal.reconcile_rows(%s)"
RENAME = "alter type mood rename value 'fine' to 'well'"


def moody(conn: Connection) -> int:
    """A table whose text is the label of an enum, swept and embedded; its one row has changed since."""
    conn.execute("create type mood as enum ('fine', 'bad'); create table doc (id int primary key, mood mood)")
    conn.execute("insert into doc values (1, 'bad')")
    embedding = embed(conn, "doc", ["mood"])
    drain(conn, embedding)
    conn.execute(SWEEP, (embedding,))
    conn.execute("update doc set mood = 'fine'")
    return embedding


@also_on_16
def test_a_finish_that_is_under_way(any_database: Database, conn: Connection) -> None:
    """Its text was compared before a label was renamed: the sweep is not whole, and coverage unknown until the next."""
    embedding = moody(conn)
    with any_database.connect() as slow:
        assert finish(slow, claim(conn, embedding)) == (1, 0)
        conn.execute(RENAME)
        assert value(conn, SWEEP, embedding) == 0
        slow.commit()

    coverage, reason = conn.execute(STATUS).fetchone() or (0, "")
    assert (coverage, jobs(conn, embedding)) == (None, {})
    assert "definition of its columns changed" in reason
    assert value(conn, SWEEP, embedding) == 1
    drain(conn, embedding)
    assert conn.execute(STATUS).fetchone() == (1, None)
    hashed = "select content_hash = pgpipe_internal.content_hash('well') from doc_embedding"
    assert value(conn, hashed)


def test_a_job_that_is_held(conn: Connection) -> None:
    """What its holder read before the sweep counts for nothing: the job is given back, and done again."""
    embedding = moody(conn)
    held = claim(conn, embedding)
    conn.execute(RENAME)
    conn.execute(SWEEP, (embedding,))
    conn.execute("alter type mood rename value 'well' to 'fine'")  # as if the holder had looked before

    finish(conn, held)

    assert jobs(conn, embedding) == {'{"id": 1}': held.jobs[0][1] + 1}
