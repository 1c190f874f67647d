"""Building a vector index: by one at a time, within its memory, seen, stopped, and begun again after a failure."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgpipe import errors
from pgpipe.db import Connection, Database
from pgpipe.embed import backoff, index
from pgpipe.embed.queue import Embedding
from pgpipe.settings.model import DatabaseSettings, IndexSettings
from tests.chaos.test_embedder_connections import pgbouncer
from tests.conftest import also_on_16, make_cli
from tests.sql.support import eventually, value
from tests.sql.vectors import FEW, FEW_DO, INDEXES, filled


@also_on_16
def test_an_invalid_leftover_is_replaced(any_database: Database, conn: Connection) -> None:
    """A build that was cut off leaves an index that nobody uses: it is dropped and built again."""
    embedding = filled(conn, FEW)
    conn.execute("create index doc_embedding_hnsw on doc_embedding using hnsw (vector vector_cosine_ops)")
    conn.execute("update pg_index set indisvalid = false where indexrelid = 'doc_embedding_hnsw'::regclass")

    assert index.build(any_database, embedding, FEW_DO)

    assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", True)]


def test_one_builds_at_a_time(any_database: Database, conn: Connection, other: Connection) -> None:
    """A second worker leaves the build to the first, and does not wait for it."""
    embedding = filled(conn, FEW)
    other.execute("select pg_advisory_lock(hashtext('pgpipe index'), %s)", (embedding.embedding_id,))

    assert not index.build(any_database, embedding, FEW_DO)

    other.execute("select pg_advisory_unlock_all()")
    assert index.build(any_database, embedding, FEW_DO)


def test_a_build_that_goes_on_is_left_alone(any_database: Database, conn: Connection, other: Connection) -> None:
    """A worker was killed and the server builds on for it: the index in the making is not dropped, nor built twice."""
    embedding = filled(conn, FEW)
    conn.execute("create index doc_embedding_hnsw on doc_embedding using hnsw (vector vector_cosine_ops)")
    conn.execute("update pg_index set indisvalid = false where indexrelid = 'doc_embedding_hnsw'::regclass")
    other.autocommit = False
    other.execute("lock table doc_embedding in share update exclusive mode")  # as `create index concurrently` does

    assert not index.build(any_database, embedding, FEW_DO)
    assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", False)]

    other.rollback()
    assert index.build(any_database, embedding, FEW_DO)


@also_on_16
def test_two_daemons_build_one_index(any_database: Database, conn: Connection) -> None:
    """Both look at the same moment: one builds, the other goes on, no error and no second index."""
    embedding = filled(conn, FEW)
    built: list[bool] = []
    threads = [
        threading.Thread(target=lambda: built.append(index.build(any_database, embedding, FEW_DO))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(built) == [False, False, False, True]
    assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", True)]


def test_through_pgbouncer(database: Database) -> None:
    """In transaction mode, where a session's lock would stay behind on some connection: one builds, and then again."""
    with database.connect(autocommit=True) as conn, pgbouncer(database, pool=4) as url:
        embedding = filled(conn, FEW)
        pooled = Database(DatabaseSettings(url=url))
        for _ in range(2):
            built: list[bool] = []
            threads = [
                threading.Thread(target=lambda b=built: b.append(index.build(pooled, embedding, FEW_DO)))
                for _ in range(2)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(built) == [False, True]
            assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", True)]
            conn.execute("drop index doc_embedding_hnsw")


def test_memory_within_the_limit(any_database: Database, conn: Connection) -> None:
    """The build's session gets what it needs up to the limit; more is refused, and the error says what to set."""
    embedding = filled(conn, rows=1500)
    given: list[int] = []
    real = index._run

    def look(watch: Connection, builder: Connection, *rest: object) -> None:
        given.append(value(builder, "select pg_size_bytes(current_setting('maintenance_work_mem')) >> 20"))
        real(watch, builder, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "_run", look)
        for limit, setting in ((1000, "1MB"), (1, "64MB"), (2, "1MB")):
            conn.execute("drop index if exists doc_embedding_hnsw")
            name = value(conn, "select quote_ident(current_database())")
            conn.execute(f"alter database {name} set maintenance_work_mem = '{setting}'")
            settings = IndexSettings(min_rows=1000, memory_mb=limit)
            if limit == 2:
                with pytest.raises(errors.DatabaseError, match=r"needs 6 MB.*may have 2 MB; set .*memory_mb = 6") as no:
                    index.build(any_database, embedding, settings)
                assert "1,500 vectors" in str(no.value)
            else:
                assert index.build(any_database, embedding, settings)

    needed = 1500 * (8 * 2 + 720) // 2**20 + 4 + 1
    assert given == [needed, 64]
    assert conn.execute(INDEXES).fetchall() == []


@contextmanager
def held_build(conn: Connection, other: Connection) -> Iterator[Embedding]:
    """A store whose build waits for a writer, `other`, who lets go once the build was broken off."""
    embedding = filled(conn, FEW)
    other.execute("begin")
    other.execute("lock table doc_embedding in row exclusive mode")
    real = index._run

    def held(*arguments: object) -> None:
        try:
            real(*arguments)  # type: ignore[arg-type]
        finally:
            other.execute("rollback")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "_run", held)
        yield embedding


def test_progress_and_stop(
    any_database: Database, conn: Connection, other: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build's phase can be seen, also in `pgpipe status`; told to stop, it ends and leaves nothing."""
    stop = threading.Event()
    seen: list[str] = []
    shown: list[str] = []
    cli = make_cli(any_database.url, tmp_path, monkeypatch)

    def progress(phase: str, _percent: float | None) -> None:
        if not phase.startswith("waiting for writers"):  # it has only begun
            return
        seen.append(phase)
        assert value(conn, "select entity from pgpipe.index_progress") == "doc"
        shown.append(cli("status").out + cli("status", "--json").out)
        stop.set()

    with held_build(conn, other) as embedding:
        assert not index.build(any_database, embedding, FEW_DO, stop, progress)

    assert seen == ["waiting for writers before build"]
    assert "Vector indexes being built" in shown[0]
    assert f'"phase": "{seen[0]}"' in shown[0]
    assert conn.execute(INDEXES).fetchall() == []
    eventually(lambda: index.build(any_database, embedding, FEW_DO))  # once the other has let go


def test_a_build_that_the_server_ends(any_database: Database, conn: Connection, other: Connection) -> None:
    """Cancelled by somebody: an error of one line, nothing left behind, and the next look builds."""
    cancelled: list[str] = []

    def cancel(phase: str, _percent: float | None) -> None:
        if not cancelled and phase.startswith("waiting for writers"):  # a second one could meet what comes after
            conn.execute("select pg_cancel_backend(pid) from pgpipe.index_progress")
            cancelled.append(phase)

    with (
        held_build(conn, other) as embedding,
        pytest.raises(errors.DatabaseError, match="canceling statement"),
    ):
        index.build(any_database, embedding, FEW_DO, progress=cancel)

    assert conn.execute(INDEXES).fetchall() == []
    eventually(lambda: index.build(any_database, embedding, FEW_DO))


def test_the_indexer_looks_beside_the_worker(any_database: Database, conn: Connection, logged: list[dict]) -> None:
    """The thread builds what is due, outlives a failure, of which status tells, and ends when told."""
    filled(conn, FEW)
    stop = threading.Event()
    indexer = index.Indexer(any_database, FEW_DO, stop, "worker")
    status = "select reason from pgpipe.embedding_status"
    conn.execute("create table public.doc_embedding_hnsw ()")  # takes the name

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "LOOK", 0.05)
        patch.setattr(backoff, "SHORTEST", 0.05)
        indexer.start()
        try:
            eventually(lambda: any(e["event"] == "vector index not built" for e in logged))
            eventually(lambda: "worker could not build its vector index" in (value(conn, status) or ""))
            conn.execute("drop table public.doc_embedding_hnsw")
            eventually(lambda: conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", True)])
            eventually(lambda: "vector index" not in (value(conn, status) or ""))
        finally:
            stop.set()
            indexer.join()

    assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", True)]
