"""What workers finished is counted, once, in the transaction that finished it."""

from pgpipe.db import Connection
from pgpipe.load.loader import LOCK
from tests.conftest import also_on_16
from tests.sql.support import claim, column, drain, expire, finish, value, waiting_docs

JOBS = "select coalesce(sum(jobs), 0)::int from pgpipe.finished"


@also_on_16
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


@also_on_16
def test_the_state_and_speed_of_loads(conn: Connection) -> None:
    """All views say the same of a load: what runs has no error and no end, and a speed is of a load that read rows."""
    conn.execute("""
        insert into pgpipe.load (entity, schema, date, mode, started_at, finished_at, read, inserted, error) values
            ('a', 'public', '2026-01-01', 'append', now() - interval '20 s', now() - interval '10 s', 50, 50, null),
            ('a', 'public', '2026-01-02', 'append', now() - interval '9 s', now() - interval '5 s', 0, 0, 'refused'),
            ('a', 'public', '2026-01-03', 'append', now() - interval '4 s', null, 0, 0, null)
    """)
    conn.execute(LOCK, ("public", "a"))  # it runs

    found = conn.execute("select state, seconds, rows_per_second from pgpipe.load_history order by date").fetchall()
    assert found == [("done", 10, 5), ("failed", 4, 0), ("running", found[2][1], 0)]
    assert found[2][1] >= 4
    assert column(conn, "select state from pgpipe.load_status") == ["running"]
    assert column(conn, "select rows_per_second from pgpipe.load_throughput") == [5]
