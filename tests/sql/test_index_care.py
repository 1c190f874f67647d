"""Care for a vector index: what updates did to it is measured, and it is built again when that is due."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgpipe.db import Connection, Database
from pgpipe.embed import care, index, queue
from pgpipe.metrics import DatabaseMetrics
from pgpipe.settings.model import IndexSettings
from tests.conftest import make_cli
from tests.sql.support import embed, make_docs, value
from tests.sql.vectors import FEW, INDEXES, filled

HEALTH = "select file, recall, dead, fresh_recall from pgpipe.index_health"
TURN = "update doc_embedding set vector = l2_normalize(vector + l2_normalize(vector * vector))"


def window(hours: int) -> str:
    """An hour of the day, so many hours from now."""
    begin = datetime.now(UTC) + timedelta(hours=hours)
    return f"{begin:%H:%M}-{begin + timedelta(hours=1):%H:%M}"


def test_an_index_that_decayed_is_built_again(
    any_database: Database, conn: Connection, other: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured after its build and again: too much of it is dead, so it is rebuilt, one at a time, in its window."""
    embedding = filled(conn, FEW)
    settings = IndexSettings(min_rows=FEW, check_every=0.001, max_dead=0.2)
    assert not care.measure(any_database, embedding, settings)
    assert index.build(any_database, embedding, settings)
    assert care.measure(any_database, embedding, settings)
    file, recall, dead, _ = conn.execute(HEALTH).fetchone() or (0, 0, 0, 0)
    assert recall > 0.95
    assert dead == 0
    assert not index.build(any_database, embedding, settings)

    for _ in range(3):
        conn.execute(TURN)
    assert not care.measure(any_database, embedding, settings.model_copy(update={"check_every": 0}))
    assert not care.measure(any_database, embedding, settings.model_copy(update={"window": window(2)}))
    assert care.measure(any_database, embedding, settings)
    assert value(conn, "select dead from pgpipe.index_health") > 0.2
    out = make_cli(any_database.url, tmp_path, monkeypatch)("status").out
    assert "doc (default): the vector index (half) finds" in out
    names = {metric.name: metric for metric in DatabaseMetrics(any_database).collect()}
    assert names["pgpipe_index_dead_ratio"].samples[0].value > 0.2

    assert not index.build(any_database, embedding, settings.model_copy(update={"window": window(2)}))
    other.execute("select pg_advisory_lock(hashtext('pgpipe index rebuild'), 0)")
    assert not index.build(any_database, embedding, settings)
    other.execute("select pg_advisory_unlock_all()")
    assert index.build(any_database, embedding, settings)

    assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", True)]
    assert not index.build(any_database, embedding, settings)
    assert care.measure(
        any_database, embedding, settings.model_copy(update={"check_every": 86400})
    )  # it is another index
    rebuilt, _, dead, _ = conn.execute(HEALTH).fetchone() or (0, 0, 1, 0)
    assert rebuilt != file
    assert dead == 0


def test_one_that_cannot_be_measured(any_database: Database, conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the error of one embedding's index, those of the others are measured."""
    make_docs(conn, 1)
    embed(conn)
    embed(conn, name="other")
    measured = threading.Event()

    def measure(_database: Database, embedding: queue.Embedding, _settings: IndexSettings) -> bool:
        if embedding.name == "default":
            raise ZeroDivisionError
        measured.set()
        return True

    monkeypatch.setattr(care, "measure", measure)
    stop = threading.Event()
    indexer = index.Indexer(any_database, IndexSettings(), stop, "test")
    indexer.start()
    assert measured.wait(60)
    stop.set()
    assert indexer.join(60)


def test_an_index_that_finds_less(any_database: Database, conn: Connection) -> None:
    """A loss against what it found after its build makes it due, and no fixed bound, which a poor model never meets."""
    embedding = filled(conn, FEW)
    settings = IndexSettings(min_rows=FEW, max_loss=0.1)
    assert index.build(any_database, embedding, settings)
    assert care.measure(any_database, embedding, settings)
    for found, due in ((0.95, None), (0.6, "rebuild")):
        conn.execute("update pgpipe.index_health set recall = %s", (found,))
        next_ = index.due(conn, embedding, settings)
        assert (next_.step if next_ else None) == due
    conn.execute("update pgpipe.index_health set fresh_recall = 0.6")
    assert index.due(conn, embedding, settings) is None
