"""What workers finished is counted, once, in the transaction that finished it."""

from pgpipe.db import Connection
from tests.sql.support import claim, column, drain, expire, finish, value, waiting_docs

JOBS = "select coalesce(sum(jobs), 0)::int from pgpipe.finished"


def test_finished_jobs_are_counted(conn: Connection) -> None:
    """Each batch counts its jobs, and a finish that is rolled back counts nothing."""
    embedding = waiting_docs(conn, 7)
    held = claim(conn, embedding, 5)
    with conn.transaction(force_rollback=True):
        finish(conn, held)
    assert value(conn, JOBS) == 0

    finish(conn, held)
    drain(conn, embedding)

    assert value(conn, JOBS) == 7


def test_a_stale_finish_is_not_counted(conn: Connection) -> None:
    """What passed to another worker is that worker's to count."""
    embedding = waiting_docs(conn, 3)
    late = claim(conn, embedding)
    expire(conn)
    drain(conn, embedding)

    assert finish(conn, late) == (0, 3)
    assert value(conn, JOBS) == 3


def test_a_week_is_kept(conn: Connection) -> None:
    """The next batch takes away what is older; the table stays small on a machine that runs for years."""
    embedding = waiting_docs(conn, 4)
    finish(conn, claim(conn, embedding, 2))
    conn.execute("update pgpipe.finished set finished_at = finished_at - interval '8 days'")
    finish(conn, claim(conn, embedding, 2))

    assert column(conn, "select jobs from pgpipe.finished") == [2]
