"""Counts of a long queue: what is exact, what is an estimate, and that neither reads the whole queue."""

import pytest

from pgpipe.cli.status import approximate
from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.sql.support import column, embed, make_docs, value

LONG = 160_000
MADE = "insert into pgpipe.job (embedding_id, key) select %s, jsonb_build_object('id', n) from generate_series(1, %s) n"
DEAD = """
    update pgpipe.job set visible_at = 'infinity', dead_at = now(), last_error = 'x'
     where embedding_id = %s and (key ->> 'id')::int <= 5
"""
LEASED = """
    update pgpipe.job
       set visible_at = now() + '1 hour', lease_token = gen_random_uuid(), leased_by = 'w',
           enqueued_at = now() - interval '1 day'
     where embedding_id = %s and (key ->> 'id')::int in (6, 7, 8)
"""
STATUS = """
    select waiting, leased, dead, estimated, oldest_age >= interval '1 day', coverage::float8
      from pgpipe.embedding_status where name = %s
"""


@pytest.fixture
def queues(conn: Connection) -> Connection:
    """A long queue with some jobs dead and leased, and a short one beside it."""
    make_docs(conn, 10)
    long, short = embed(conn, name="long"), embed(conn, name="short")
    conn.execute("delete from pgpipe.job")
    conn.execute(MADE, (short, 7))
    conn.execute(MADE, (long, LONG))
    for change in (DEAD, LEASED):
        conn.execute(change, (long,))
    conn.execute("analyze pgpipe.job")
    return conn


def test_a_long_queue_is_estimated(queues: Connection) -> None:
    """Issue 11: the few that are dead or leased are counted; those waiting are what the server's statistics say."""
    row = queues.execute(STATUS, ("long",)).fetchone()
    assert row is not None
    waiting, *others = row

    assert others == [3, 5, True, True, 0]
    assert abs(waiting - LONG) < LONG / 10


def test_a_short_queue_beside_it_is_counted(queues: Connection) -> None:
    """One embedding's backlog makes another's figures no estimate."""
    assert queues.execute(STATUS, ("short",)).fetchone() == (7, 0, 0, False, False, 0)


def test_long_queues_share_by_their_tables(queues: Connection) -> None:
    """Two long queues add up to the queue; that of the larger table has the larger part, neither less than counted."""
    queues.execute("create table larger (like doc including all)")
    queues.execute("insert into larger select n, 'a', 'b', n from generate_series(1, 90) n")
    other = embed(queues, "larger", name="other")
    queues.execute("delete from pgpipe.job where embedding_id = %s", (other,))
    queues.execute(MADE, (other, LONG))
    queues.execute("analyze pgpipe.job, doc, larger")
    jobs = dict(queues.execute("select name, waiting + leased + dead from pgpipe.embedding_status").fetchall())

    assert abs(jobs["long"] + jobs["other"] - 2 * LONG) < LONG / 5
    assert 100_001 <= jobs["long"] < jobs["other"]


def test_without_statistics_it_is_what_was_counted(queues: Connection) -> None:
    """After a crash the server knows no number of jobs: the estimate is then the least that it can be."""
    queues.execute("select pg_stat_reset_single_table_counters('pgpipe.job'::regclass)")

    assert value(queues, "select waiting from pgpipe.embedding_jobs where estimated") == 100_001 - 8


@also_on_16
def test_the_queue_is_never_read_whole(queues: Connection) -> None:
    """By the index, as far as it counts."""
    plan = "\n".join(column(queues, "explain select * from pgpipe.embedding_status"))

    assert "Seq Scan on job" not in plan
    assert "Sample Scan on job" not in plan
    assert value(queues, "select bool_or(estimated) from pgpipe.embedding_status")


def test_an_estimate_is_told_from_a_count() -> None:
    """By a sign before the figures that rest on it."""
    assert approximate({"waiting": 160000, "dead": 5, "estimated": True}) == {"waiting": "~160,000", "dead": 5}
    assert approximate({"waiting": 7, "dead": 5, "estimated": False}) == {"waiting": 7, "dead": 5}
