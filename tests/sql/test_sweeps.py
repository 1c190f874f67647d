"""V24: an embedder compares rows with vectors by itself: after a change of definition, and now and then when idle."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pgpipe.db import Connection, Database
from pgpipe.embed import queue, sweep
from pgpipe.embed.reconcile import reconcile
from pgpipe.embed.worker import Worker
from pgpipe.settings.model import EmbeddingSettings
from tests.conftest import also_on_16
from tests.sql.fake_model import Fake, make_worker
from tests.sql.support import column, drain, embed, embedded_docs, eventually, jobs, make_docs, stored, value

STATUS = "select coverage::float8, swept_at is not null, reason from pgpipe.embedding_status"
SWEPT = "select swept_at from pgpipe.sweep"
DUE = "select embedding_id, changed from pgpipe_internal.due_sweeps(%s, %s)"


@contextmanager
def running(database: Database, every: float = 3600, model: Fake | None = None) -> Iterator[Worker]:
    """An embedder at work in a thread, which ends with the block."""
    settings = EmbeddingSettings(model="fake", reconcile_every=every)
    worker = Worker(database, settings, load=lambda _: model or Fake())
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop.set()
        thread.join()


def unseen(conn: Connection, statement: str) -> None:
    with conn.transaction():
        conn.execute("set local session_replication_role = replica")
        conn.execute(statement.encode())


def fresh(conn: Connection) -> Callable[[], bool]:
    return lambda: conn.execute(STATUS).fetchone() == (1, True, None)


@also_on_16
def test_a_changed_definition_is_swept_for_at_once(any_database: Database, conn: Connection) -> None:
    """V24: from the commit of an ALTER … USING coverage is unknown and says why; the embedder mends it by itself."""
    embedded_docs(conn, 5)
    conn.execute("alter table doc alter column title type text using upper(title)")
    coverage, _, reason = conn.execute(STATUS).fetchone() or (0, 0, "")
    assert coverage is None
    assert "rewritten" in reason

    with running(any_database):
        eventually(fresh(conn))

    assert value(conn, "select count(*) from doc_embedding where vector = '[1,0,0]'") == 0


def test_a_drain_sweeps_for_a_changed_definition(any_database: Database, conn: Connection) -> None:
    """V24: a drain ends with vectors of the present definition, also where it had no job."""
    embedded_docs(conn, 5)
    conn.execute("alter table doc alter column title type text using upper(title)")

    totals = make_worker(any_database, Fake()).drain()

    assert totals.embedded == {("public", "doc"): 5}
    assert fresh(conn)()


def test_an_idle_embedder_sweeps_now_and_then(any_database: Database, conn: Connection) -> None:
    """V24: what no trigger saw is found within `reconcile_every`, and `swept_at` says when the rows were compared."""
    embedded_docs(conn, 5)
    unseen(conn, "update doc set title = 'unseen' where id = 3")
    before = value(conn, SWEPT)

    with running(any_database, every=0.1):
        eventually(lambda: value(conn, "select count(*) from doc_embedding where vector <> '[1,0,0]'") == 1)
        eventually(lambda: value(conn, SWEPT) > before)


def test_jobs_are_served_in_the_midst_of_a_sweep(
    any_database: Database, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """V24: a sweep of many ranges lets jobs pass between two of them, and a stop is heard there."""
    monkeypatch.setattr(sweep, "RANGE", 2)
    embedded_docs(conn, 200)
    conn.execute("alter table doc alter column title type text using upper(title)")
    model = Fake()
    with running(any_database, model=model):
        eventually(lambda: bool(model.calls))
        left = value(conn, "select count(*) from pgpipe.reconciliation")
    assert left == 1, "the first rows were embedded when the sweep had not ended"
    place = value(conn, "select examined from pgpipe.reconciliation")
    assert 0 < place < 200


def test_one_worker_at_a_time(conn: Connection) -> None:
    """V24: a sweep that a worker is at is nobody else's, until it stood still for a minute; then its place is kept."""
    embedding = embedded_docs(conn, 10)
    conn.execute("alter table doc alter column title type text using upper(title)")
    assert conn.execute(DUE, ("1 hour", "one")).fetchall() == [(embedding, True)]
    step = "select examined, enqueued, finished from pgpipe_internal.reconcile_rows(%s, 4, %s)"

    assert conn.execute(step, (embedding, "one")).fetchone() == (4, 4, False)
    assert conn.execute(DUE, ("1 hour", "one")).fetchall() == [(embedding, True)]
    assert conn.execute(DUE, ("1 hour", "other")).fetchall() == []
    assert conn.execute(step, (embedding, "other")).fetchone() == (0, 0, True)

    conn.execute("update pgpipe.reconciliation set moved_at = now() - interval '2 minutes'")
    assert conn.execute(DUE, ("1 hour", "other")).fetchall() == [(embedding, True)]
    assert conn.execute(step, (embedding, "other")).fetchone() == (4, 4, False)
    assert conn.execute(step, (embedding, "other")).fetchone() == (2, 2, True)
    assert conn.execute(DUE, ("1 hour", "other")).fetchall() == []


def test_a_command_does_not_go_on_with_an_embedders_sweep(conn: Connection) -> None:
    """V24: an embedder may have passed rows that changed since: `reconcile` begins at the first row, and finds them."""
    embedding = embedded_docs(conn, 6)
    conn.execute("select pgpipe_internal.reconcile_rows(%s, 4, 'worker')", (embedding,))
    unseen(conn, "update doc set title = 'unseen' where id = 1")

    assert reconcile(conn, queue.embeddings(conn)[0]).examined == 6

    assert list(jobs(conn, embedding)) == ['{"id": 1}']


def test_a_definition_that_changes_on_the_way(conn: Connection) -> None:
    """V24: rows that were compared before a DDL are compared again after it, a restore's half sweep included."""
    embedding = embedded_docs(conn, 6)
    conn.execute("select pgpipe_internal.reconcile_rows(%s, 4)", (embedding,))
    conn.execute("alter table doc alter column title type text using upper(title)")

    reconcile(conn, queue.embeddings(conn)[0])

    assert len(jobs(conn, embedding)) == 6


def test_a_locked_row_leaves_a_sweep_unfinished(conn: Connection, other: Connection) -> None:
    """V24: a row that a writer holds, who changes nothing that is embedded, is not called compared."""
    embedding = embedded_docs(conn, 3)
    conn.execute("alter table doc alter column title type text using upper(title)")
    with other.transaction():
        other.execute("update doc set size = 0 where id = 2")
        reconcile(conn, queue.embeddings(conn)[0])
        assert set(jobs(conn, embedding)) == {'{"id": 1}', '{"id": 3}'}
    drain(conn, embedding)
    assert conn.execute(STATUS).fetchone()[0] is None  # type: ignore[index]

    reconcile(conn, queue.embeddings(conn)[0])
    drain(conn, embedding)
    assert fresh(conn)()


def test_vectors_of_zeros_are_found(any_database: Database, conn: Connection) -> None:
    """V23: zero vectors that a store has are dropped by a sweep, those of equal texts too, and embedded again."""
    make_docs(conn, 6)
    conn.execute("update doc set title = 'same', body = 'text' where id in (1, 6)")
    embed(conn)
    make_worker(any_database, Fake()).drain()
    conn.execute("update doc_embedding set vector = '[0,0,0]' where id in (1, 3, 6)")

    found = reconcile(conn, queue.embeddings(conn)[0], step=2)

    assert found.enqueued == 3
    assert stored(conn) == [2, 4, 5]
    make_worker(any_database, Fake()).drain()
    assert column(conn, "select id from doc_embedding where vector <=> vector = 0 order by id") == [1, 2, 3, 4, 5, 6]


def test_a_chunk_without_direction_is_found(conn: Connection) -> None:
    """V23: a later piece of a long text counts as well."""
    embedding = embedded_docs(conn, 3)
    conn.execute(
        "insert into doc_embedding select id, 1, 0, 1, content_hash, model, '[0,0,0]' from doc_embedding where id = 2"
    )

    reconcile(conn, queue.embeddings(conn)[0])

    assert list(jobs(conn, embedding)) == ['{"id": 2}']
    assert stored(conn) == [1, 3]


def test_coverage_is_not_rounded_up(conn: Connection) -> None:
    """V24: one row of a hundred thousand that lacks its vector is no coverage of 1."""
    make_docs(conn)
    embedding = embed(conn)
    conn.execute("insert into doc select n, 'same', null, n from generate_series(1, 30000) n")
    conn.execute("delete from pgpipe.job")
    conn.execute(
        "insert into doc_embedding select id, 0, 0, 4, pgpipe_internal.content_hash('same'), 'fake', '[1,0,0]' from doc"
    )
    conn.execute("update doc set title = 'other' where id = 7")

    assert value(conn, "select coverage from pgpipe.embedding_status") < 1
    drain(conn, embedding)
    assert value(conn, "select coverage from pgpipe.embedding_status") == 1


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("alter table doc alter column body type varchar", "the definition of its columns"),
        ("alter table doc rename column body to text", "has no column body"),
        ("drop trigger pgpipe_update_1 on doc", "triggers of its table"),
        ("vacuum full doc", "rewritten"),
        ("truncate doc_embedding", "rewritten"),
        ("alter table doc add column other int default 7", None),
        ("create index on doc (size)", None),
        ("analyze doc", None),
        ("alter table doc rename to texts", None),
    ],
)
def test_what_is_a_change_of_the_definition(conn: Connection, statement: str, reason: str | None) -> None:
    """V24: what may have changed a text makes coverage unknown from its commit on, and says why; nothing else does."""
    embedded_docs(conn, 3)
    conn.execute(statement.encode())

    coverage, _, found = conn.execute(STATUS).fetchone() or (0, 0, "")

    assert (coverage is None) == (reason is not None)
    assert reason in found if reason else found is None


@also_on_16
def test_a_partition_that_comes_or_goes(conn: Connection) -> None:
    """V24: rows that ATTACH PARTITION brings have no vectors, and coverage says so from its commit on."""
    conn.execute("create table doc (id int primary key, title text) partition by range (id)")
    conn.execute("create table low partition of doc for values from (0) to (10)")
    conn.execute("create table high (id int primary key, title text)")
    conn.execute("insert into doc values (1, 'one'); insert into high values (11, 'eleven')")
    embedding = embed(conn, columns=["title"])
    drain(conn, embedding)
    assert fresh(conn)()

    conn.execute("alter table doc attach partition high for values from (10) to (20)")
    assert conn.execute(STATUS).fetchone()[0] is None  # type: ignore[index]
    reconcile(conn, queue.embeddings(conn)[0])
    assert list(jobs(conn, embedding)) == ['{"id": 11}']
    drain(conn, embedding)
    assert fresh(conn)()

    conn.execute("delete from high; alter table doc detach partition high")
    assert conn.execute(STATUS).fetchone()[0] is None  # type: ignore[index]
