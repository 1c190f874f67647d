"""A worker hears its stop whatever hangs, and a lane that fails ends the worker."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pgpipe.db import Connection, Database
from pgpipe.embed import turns
from pgpipe.embed.totals import Hooks
from pgpipe.embed.worker import Worker
from pgpipe.settings.model import EmbeddingSettings
from pgpipe.target import Target
from tests.conftest import also_on_16
from tests.sql.fake_model import Fake, make_worker
from tests.sql.support import embed, eventually, make_docs, stored, value

LONG = 120.0
FREE = "select count(*) from pgpipe.job where lease_token is null and attempts = 0 and visible_at <= now()"
LEASED = "select count(*) from pgpipe.job where lease_token is not null"
BLOCKED = """
    select exists (select from pg_locks l join pg_database d on d.oid = l.database
                    where not l.granted and d.datname = current_database())
"""


def patient(database: Database, model: Fake, batch: int = 256) -> Worker:
    """A worker whose leases outlast the test."""
    settings = EmbeddingSettings(model="fake", batch=batch, lease=3600, reconcile_every=3600)
    return Worker(database, settings, load=lambda _: model)


@contextmanager
def running(worker: Worker) -> Iterator[threading.Thread]:
    """A daemon in a thread; whatever the test finds, it is over at the end of the block."""
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        worker.halt()
        thread.join(LONG)


def ends(worker: Worker, thread: threading.Thread) -> bool:
    """Stop it, and see whether it ends."""
    worker.halt()
    thread.join(LONG)
    return not thread.is_alive()


def test_a_model_that_hangs(any_database: Database, conn: Connection) -> None:
    """K14: a stop ends the worker although its model hangs, and the jobs of both lanes are free for others."""
    make_docs(conn, 30)
    embed(conn)
    hangs, over = threading.Event(), threading.Event()

    def hang(_: list[str]) -> None:
        hangs.set()
        over.wait()

    worker = patient(any_database, Fake(hang), batch=10)
    try:
        with running(worker) as thread:
            assert hangs.wait(LONG)
            eventually(lambda: value(conn, LEASED) == 20)

            assert ends(worker, thread)

        assert worker.left_behind
        assert value(conn, FREE) == 30
    finally:
        over.set()
    assert stored(conn) == []
    assert not make_worker(any_database, Fake()).drain().stale


@pytest.mark.parametrize("table", ["doc", "doc_embedding", "pgpipe.job", "pgpipe.embedding"])
def test_a_table_that_is_locked(
    any_database: Database, conn: Connection, other: Connection, table: str, logged: list[dict[str, Any]]
) -> None:
    """V14: a stop is heard while a table is locked; jobs come back unless it is the queue that is locked."""
    make_docs(conn, 30)
    embed(conn)
    started, locked = threading.Event(), threading.Event()

    def wait(_: list[str]) -> None:
        started.set()
        assert locked.wait(LONG)

    worker = patient(any_database, Fake(wait), batch=10)
    with running(worker) as thread:
        assert started.wait(LONG)
        with other.transaction():
            other.execute(f"lock table {table} in access exclusive mode".encode())
            locked.set()
            eventually(lambda: value(conn, BLOCKED))

            assert ends(worker, thread)

    if table != "pgpipe.job":
        # The lanes ended. The thread that looks for vector indexes may hang in the lock, and holds nothing.
        assert "ends without what hangs" not in [entry["event"] for entry in logged]
        assert value(conn, FREE) == 30
    assert len(stored(conn)) <= 20


def test_a_locked_target_keeps_no_other_waiting(any_database: Database, conn: Connection, other: Connection) -> None:
    """V14: while a migration holds one target, the embeddings of others are served."""
    make_docs(conn, 10)
    embed(conn)
    conn.execute("create table held (id int primary key, title text); insert into held values (1, 'one')")
    embed(conn, "held", ["title"])
    worker = patient(any_database, Fake(), batch=1)
    with other.transaction():
        other.execute("lock table held in access exclusive mode")
        with running(worker):
            eventually(lambda: len(stored(conn)) == 10)
            assert value(conn, "select count(*) from pgpipe.job where embedding_id = 2") == 1


def test_a_lane_that_fails_ends_the_worker(any_database: Database, conn: Connection) -> None:
    """An error that nobody expects is raised; the other lane ends, too, and no job stays leased."""
    make_docs(conn, 50)
    embed(conn)

    def fail(_target: Target, _jobs: int) -> None:
        raise ZeroDivisionError

    worker = make_worker(any_database, Fake(), batch=5, hooks=Hooks(progress=fail))

    for work in (worker.drain, worker.run):
        with pytest.raises(ZeroDivisionError):
            work()
        assert value(conn, LEASED) == 0
        assert not [t for t in threading.enumerate() if t.name == "lane"]
    assert not worker.stop.is_set()


def test_one_lane_encodes_while_the_other_claims(any_database: Database, conn: Connection) -> None:
    """The model is never called by two at once; while it works, the next batch is claimed already."""
    make_docs(conn, 60)
    embed(conn)
    calls, most = 0, 0
    lock = threading.Lock()
    claimed: list[int] = []

    def watch(texts: list[str]) -> None:
        nonlocal calls, most
        with lock:
            calls += 1
            most = max(most, calls)
        if stored(conn) == []:  # of the first batch
            eventually(lambda: value(conn, "select count(distinct lease_token) from pgpipe.job") == 2)
            claimed.append(len(texts))
        with lock:
            calls -= 1

    totals = make_worker(any_database, Fake(watch), batch=10).drain()

    assert totals.embedded == {("public", "doc"): 60}
    assert (most, bool(claimed)) == (1, True)


@also_on_16
def test_work_that_comes_while_a_lane_is_busy(
    any_database: Database, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lane that found nothing looks again while the other one holds the model for long."""
    monkeypatch.setattr(turns, "STALE", 0.2)
    make_docs(conn, 3)
    embed(conn)
    busy, over = threading.Event(), threading.Event()

    def hold(_: list[str]) -> None:
        busy.set()
        over.wait()

    worker = patient(any_database, Fake(hold))
    try:
        with running(worker):
            assert busy.wait(LONG)
            conn.execute("insert into doc values (4, 'late', 'row', 0)")
            eventually(lambda: value(conn, LEASED) == 4)
            over.set()
            eventually(lambda: len(stored(conn)) == 4)
    finally:
        over.set()


def test_a_drain_waits_for_its_other_lane(any_database: Database, conn: Connection, other: Connection) -> None:
    """A row that changes while its batch is at the model, when nothing else is left, is embedded by the same drain."""
    make_docs(conn, 3)
    embed(conn)
    changed = False

    def change(_: list[str]) -> None:
        nonlocal changed
        if not changed:
            changed = True
            other.execute("update doc set title = 'changed' where id = 2")

    model = Fake(change)
    make_worker(any_database, model).drain()

    assert model.calls[-1] == ["changed\nbody 2"]
    assert value(conn, "select count(*) from pgpipe.job") == 0
    assert stored(conn) == [1, 2, 3]
