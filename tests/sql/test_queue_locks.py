"""A worker waits for nobody: other transactions hold rows and jobs open, and the worker goes on; nothing is lost."""

import sys
import threading
from collections.abc import Callable

import pytest

from pgpipe.db import Connection, Database
from tests.conftest import also_on_16
from tests.sql.support import (
    claim,
    drain,
    embed,
    extend,
    fail,
    finish,
    job,
    jobs,
    make_docs,
    release,
    stored,
    value,
    waiting_docs,
)

KEY = '{"id": 1}'
READ = """
    select sum(read) from (select relname, idx_tup_read as read from pg_stat_all_indexes
                           union all select relname, seq_tup_read from pg_stat_all_tables) known
     where relname in ('job', 'doc_embedding')
"""
ROUNDS = 100  # of each writer, while two workers go on


@pytest.fixture
def embedding(conn: Connection, other: Connection) -> int:
    """Three docs with a job each; both connections fail rather than wait."""
    make_docs(conn, 3)
    number = embed(conn)
    for each in (conn, other):
        each.execute("set statement_timeout = '60s'")
        each.execute("set lock_timeout = '30s'")
    return number


def entries(conn: Connection) -> int:
    """Entries of the queue's and the store's indexes that were read so far, and rows without an index."""
    conn.execute("select pg_stat_force_next_flush()")
    return int(value(conn, READ))


def settle(conn: Connection, embedding: int) -> None:
    """Everything that waits is embedded, also what a lease still covers."""
    conn.execute("update pgpipe.job set visible_at = now() where lease_token is not null")
    drain(conn, embedding)
    assert jobs(conn, embedding) == {}


def fresh_rows(conn: Connection) -> list[int]:
    """The rows whose stored vector is of the text they have now."""
    query = """
        select array_agg(id order by id) from doc join doc_embedding using (id)
         where content_hash = pgpipe_internal.content_hash(concat_ws(chr(10), title, body))
    """
    return value(conn, query)


WRITES = {
    "update": "update doc set title = 'newer' where id = 1",
    "update of another column": "update doc set size = 99 where id = 1",
    "key": "update doc set id = 10 where id = 1",
    "delete": "delete from doc where id = 1",
    "lock": "select from doc where id = 1 for update",
    "job": "select from pgpipe.job where key = '{\"id\": 1}' for update",
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("commits", [True, False])
def test_finish_waits_for_no_writer(
    conn: Connection, other: Connection, embedding: int, write: str, commits: bool
) -> None:
    """A writer holds row or job open: finish returns, the other rows are done, and in the end every row is fresh."""
    held = claim(conn, embedding)
    with other.transaction(force_rollback=not commits):
        other.execute(WRITES[write].encode())

        finish(conn, held)

        assert {2, 3} <= set(stored(conn))
        assert 1 not in stored(conn) or write == "update of another column"

    settle(conn, embedding)
    living = {"key": [2, 3, 10], "delete": [2, 3]}.get(write, [1, 2, 3]) if commits else [1, 2, 3]
    assert fresh_rows(conn) == living
    assert stored(conn) == living


def test_finish_before_the_writers_statement_ends(conn: Connection, other: Connection, embedding: int) -> None:
    """The row is written, its trigger has not run: the finish of the old text is followed by a job for the new one."""
    other.execute("""
        create function pause() returns trigger language plpgsql as $$
        begin perform pg_advisory_xact_lock(7); return new; end $$""")
    other.execute("create trigger a_pause before update on doc for each row execute function pause()")
    held = claim(conn, embedding)
    writer = threading.Thread(target=other.execute, args=("update doc set title = 'newer' where id = 1",))
    with conn.transaction():
        conn.execute("select pg_advisory_xact_lock(7)")
        writer.start()
        assert finish(conn, held) == (3, 0)
    writer.join()

    assert jobs(conn, embedding) == {KEY: 1}
    settle(conn, embedding)
    assert fresh_rows(conn) == [1, 2, 3]


@also_on_16
@pytest.mark.parametrize(
    "call",
    [
        lambda conn, held: fail(conn, held, charge=True),
        release,
        extend,
    ],
    ids=["fail", "release", "extend"],
)
def test_the_other_calls_wait_for_no_writer(
    conn: Connection, other: Connection, embedding: int, call: Callable[..., int]
) -> None:
    """They settle what they can lock, and leave a job that a writer is changing to its lease."""
    held = claim(conn, embedding)
    with other.transaction():
        other.execute("update doc set title = 'newer' where id = 1")

        assert call(conn, held) == 2

    assert job(conn, embedding, KEY)["lease_token"] == str(held.token)


@also_on_16
def test_claim_and_retry_wait_for_no_writer(conn: Connection, other: Connection, embedding: int) -> None:
    """Jobs that a writer is changing are passed over, ready or dead."""
    with other.transaction():
        other.execute("update doc set title = 'newer' where id = 1")
        assert claim(conn, embedding).ids == {2, 3}
    conn.execute("""
        update pgpipe.job
           set lease_token = null, leased_by = null, dead_at = now(), visible_at = 'infinity', last_error = 'x'
    """)
    with other.transaction():
        other.execute("update doc set title = 'newest' where id = 1")
        assert value(conn, "select pgpipe.retry_jobs()") == 2
    settle(conn, embedding)
    assert fresh_rows(conn) == [1, 2, 3]


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1)])
def test_no_deadlock_with_a_writer_of_many_rows(
    conn: Connection, other: Connection, embedding: int, order: tuple[int, ...]
) -> None:
    """A transaction that writes row by row, up or down, meets a finish that is not committed: both end well."""
    other.execute("set lock_timeout = 0")
    held = claim(conn, embedding)
    first, *rest = order

    def write() -> None:
        for id_ in rest:
            other.execute("update doc set title = title || '!', id = id where id = %s", (id_,))
        other.execute("commit")

    other.execute("begin")
    other.execute("update doc set title = 'newer' where id = %s", (first,))
    writer = threading.Thread(target=write)
    with conn.transaction():
        finish(conn, held)
        writer.start()
        writer.join(0.3)  # it waits for the jobs that the finish has deleted and not committed
        release(conn, held)
    writer.join(120)

    assert not writer.is_alive()
    settle(conn, embedding)
    assert fresh_rows(conn) == [1, 2, 3]


def join(threads: list[threading.Thread]) -> None:
    """Wait until all have ended."""
    for thread in threads:
        thread.join()


@also_on_16
def test_writers_and_workers_at_once(any_database: Database, conn: Connection) -> None:
    """Two writers and two workers hammer the same rows: no deadlock, and in the end one fresh vector a row."""
    make_docs(conn, 20)
    embedding = embed(conn)
    stop, errors = threading.Event(), []

    def run(work: Callable[[Connection, int], None], rounds: int) -> None:
        try:
            with any_database.connect(autocommit=True) as own:
                own.execute("set deadlock_timeout = '100ms'")
                for n in range(rounds):
                    if stop.is_set():
                        return
                    work(own, n)
        except Exception as exc:  # noqa: BLE001 - a thread hands its failure to the test
            errors.append(exc)

    def write(own: Connection, n: int) -> None:
        with own.transaction():
            for id_ in sorted({1 + (n * 7 + i * i) % 20 for i in range(4)}):  # in order: writers alone never deadlock
                own.execute("update doc set title = %s where id = %s", (f"t{n}", id_))
            own.execute("update doc set id = id + 100 where id = %s", (id_,))
            own.execute("update doc set id = id - 100 where id = %s", (id_ + 100,))

    def embed_some(own: Connection, _: int) -> None:
        finish(own, claim(own, embedding, 7))

    hands = [(write, ROUNDS), (write, ROUNDS), (embed_some, sys.maxsize), (embed_some, sys.maxsize)]
    threads = [threading.Thread(target=run, args=hand) for hand in hands]
    for thread in threads:
        thread.start()
    join(threads[:2])
    stop.set()
    join(threads)

    assert errors == []
    settle(conn, embedding)
    assert fresh_rows(conn) == stored(conn) == list(range(1, 21))


@also_on_16
def test_disable_waits_and_makes_no_deadlock(conn: Connection, other: Connection, embedding: int) -> None:
    """Dropping an embedding under a writer waits for that writer's end, whatever it writes next."""
    conn.execute("set lock_timeout = 0")
    other.execute("begin")
    other.execute("update doc set title = 'a' where id = 3")
    admin = threading.Thread(target=conn.execute, args=("select pgpipe.disable_embedding('doc')",))
    admin.start()
    admin.join(0.3)
    other.execute("update doc set title = 'a' where id = 1")
    other.execute("commit")
    admin.join(120)

    assert not admin.is_alive()
    assert value(other, "select count(*) from pgpipe.job where embedding_id = %s", embedding) == 0
    assert value(other, "select count(*) from pg_trigger where tgrelid = 'doc'::regclass") == 0


def test_a_snapshot_that_is_held(conn: Connection, other: Connection) -> None:
    """K21: a claim reads a batch's entries of the indexes, however much was finished since the oldest snapshot."""
    embedding = waiting_docs(conn, 3000)
    other.execute("begin isolation level repeatable read; select count(*) from pgpipe.job")
    reads = []
    for _ in range(40):
        before = entries(conn)
        held = claim(conn, embedding, 64)
        reads.append(entries(conn) - before)
        assert finish(conn, held) == (64, 0)
    other.execute("rollback")

    assert max(reads[1:]) <= 2 * reads[0]
    assert reads[0] < 1000


def test_jobs_before_the_front_of_a_claim(conn: Connection, other: Connection) -> None:
    """K21: a job that was locked, or that was committed late, is claimed although later ones were claimed before."""
    embedding = waiting_docs(conn, 6)
    other.execute("begin; select from pgpipe.job order by visible_at limit 2 for update")
    assert len(claim(conn, embedding, 3).ids) == 3
    other.execute("rollback")
    late = (
        "insert into pgpipe.job (embedding_id, key, visible_at) values (%s, '{\"id\": 99}', now() - interval '1 hour')"
    )
    conn.execute(late, (embedding,))

    assert claim(conn, embedding, 3).ids == {6}
    assert claim(conn, embedding, 3).ids == {1, 2, 99}
