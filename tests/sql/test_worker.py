"""The worker's loop: drain, daemon, stop, long texts, several workers."""

import threading
from typing import Any

import numpy as np
import pytest

from pgpipe import errors
from pgpipe.db import Connection, Database
from pgpipe.embed import batch as encode_module
from pgpipe.embed import lane, queue
from pgpipe.embed.totals import Hooks
from pgpipe.embed.worker import Worker
from pgpipe.settings.model import EmbeddingSettings
from tests.conftest import also_on_16
from tests.sql.fake_model import Fake, make_worker
from tests.sql.support import column, embed, embedded_docs, eventually, jobs, make_docs, stored, value


def vectors(conn: Connection) -> dict[int, np.ndarray]:
    rows = conn.execute("select id, vector::real[] from doc_embedding order by id, chunk").fetchall()
    return {id_: np.array(vector, np.float32) for id_, vector in rows}


def test_a_drain_gives_every_row_its_vector(any_database: Database, conn: Connection) -> None:
    """Every row with text has exactly one vector, that of its text; the queue is empty; a second drain does nothing."""
    make_docs(conn, 50)
    conn.execute("insert into doc values (51, null, ' ', 0)")
    embed(conn)
    model = Fake()

    totals = make_worker(any_database, model, batch=20).drain()

    assert totals.embedded == {("public", "doc"): 50}
    assert stored(conn) == list(range(1, 51))
    for id_, vector in vectors(conn).items():
        assert np.allclose(vector, model.encode([f"title {id_}\nbody {id_}"])[0], atol=1e-6)
    model.calls.clear()
    assert make_worker(any_database, model).drain().embedded == {}
    assert model.calls == []


@also_on_16
def test_changes_after_a_drain(any_database: Database, conn: Connection) -> None:
    """Insert, change, key change, other column, delete: the model reads the two new texts; every row ends fresh."""
    embedded_docs(conn, 5)
    conn.execute("insert into doc values (9, 'new', 'row', 0)")
    conn.execute("update doc set title = 'changed' where id = 1")
    conn.execute("update doc set id = 20 where id = 2")
    conn.execute("update doc set size = 0 where id = 3")
    conn.execute("delete from doc where id = 4")
    model = Fake()

    totals = make_worker(any_database, model).drain()

    assert sorted(t for call in model.calls for t in call) == ["changed\nbody 1", "new\nrow"]
    # The row with the changed key takes the vectors of the row that it was.
    assert totals.copied == 1
    assert (totals.embedded, totals.fresh) == ({("public", "doc"): 3}, 0)
    assert stored(conn) == [1, 3, 5, 9, 20]


def test_only_fresh_jobs_load_no_model(any_database: Database, conn: Connection) -> None:
    """Where no text changed the model is not even loaded."""
    embedding = embedded_docs(conn)
    conn.execute(
        "insert into pgpipe.job (embedding_id, key) select %s, jsonb_build_object('id', id) from doc", (embedding,)
    )
    never = Worker(any_database, EmbeddingSettings(model="fake"), load=lambda _: pytest.fail("loaded"))

    assert never.drain().fresh == 3
    assert jobs(conn, embedding) == {}


def test_one_model_for_stores_of_different_dimensions(any_database: Database, conn: Connection) -> None:
    """A model that is loaded once fills a store as it is and one cut to `truncate_dim`, at unit length."""
    make_docs(conn, 3)
    embed(conn)
    embed(conn, dims=2, name="small")
    loaded: list[Fake] = []

    def load(_: EmbeddingSettings) -> Fake:
        loaded.append(Fake())
        return loaded[-1]

    Worker(any_database, EmbeddingSettings(model="fake", truncate_dim=2), load=load).drain()

    assert len(loaded) == 1
    small = conn.execute("select id, vector::real[] from doc_embedding_small order by id").fetchall()
    whole = vectors(conn)
    for id_, vector in small:
        cut = whole[id_][:2]
        assert np.allclose(vector, cut / np.linalg.norm(cut), atol=1e-5)
    assert len(small) == 3


def test_long_text_in_chunks(any_database: Database, conn: Connection) -> None:
    """A text longer than the model reads has a vector for each piece; the pieces are the whole text, in characters."""
    make_docs(conn)
    text = "naïve 🙂 " * 30
    conn.execute("insert into doc values (1, null, %s, 0), (2, 'short', null, 0)", (text,))
    embed(conn)

    make_worker(any_database, Fake(room=50)).drain()

    pieces = column(
        conn,
        "select substr(btrim(body), char_start + 1, char_end - char_start) from doc join doc_embedding using (id)"
        " where id = 1 order by chunk",
    )
    assert "".join(pieces) == text.strip()
    assert {len(p) for p in pieces[:-1]} == {50}
    assert stored(conn) == [1] * len(pieces) + [2]

    conn.execute("update doc set body = left(body, 60) where id = 1")
    make_worker(any_database, Fake(room=50)).drain()
    assert stored(conn) == [1, 1, 2]


def test_stop_between_batches(any_database: Database, conn: Connection) -> None:
    """A stop ends the drain after the batch at hand: that batch is stored, the rest is free for others."""
    make_docs(conn, 30)
    embedding = embed(conn)
    model = Fake()
    worker = make_worker(any_database, model, batch=10)
    model.fault = lambda _: worker.stop.set()

    worker.drain()

    assert len(stored(conn)) == 10
    assert len(jobs(conn, embedding)) == 20
    assert value(conn, "select count(*) from pgpipe.job where lease_token is not null") == 0


def test_stop_within_a_batch(any_database: Database, conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that takes long is given back when the worker is told to stop, uncharged and at once."""
    monkeypatch.setattr(encode_module, "TEXTS", 3)
    make_docs(conn, 10)
    embed(conn)
    model = Fake()
    worker = make_worker(any_database, model)
    model.fault = lambda _: worker.stop.set()

    worker.drain()

    assert len(model.calls) == 1
    assert stored(conn) == []
    assert value(conn, "select count(*) from pgpipe.job where lease_token is null and visible_at <= now()") == 10


@also_on_16
def test_a_long_batch_keeps_its_lease(
    any_database: Database, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the model works on, the lease is extended: nobody else takes the batch."""
    monkeypatch.setattr(encode_module, "TEXTS", 2)
    monkeypatch.setattr(lane, "EXTEND", 0)
    make_docs(conn, 6)
    embed(conn)
    ends = []
    look = "select max(visible_at) from pgpipe.job"

    def look_again(_texts: list[str]) -> None:
        eventually(lambda: not ends or value(conn, look) > ends[-1])  # extended before the call
        ends.append(value(conn, look))

    model = Fake(look_again)

    make_worker(any_database, model).drain()

    assert len(model.calls) == 3
    assert ends == sorted(set(ends))


def test_a_numeric_key_keeps_its_digits(any_database: Database, conn: Connection) -> None:
    """Keys with more digits than a float has, and keys of several columns, come back from the worker as they were."""
    conn.execute("create table doc (id numeric, at timestamptz, title text, primary key (id, at))")
    conn.execute("insert into doc select n + 0.12345678901234567890, now(), 't' from generate_series(1, 3) n")
    embedding = embed(conn, columns=["title"])

    totals = make_worker(any_database, Fake()).drain()

    assert (totals.embedded, totals.stale) == ({("public", "doc"): 3}, 0)
    assert jobs(conn, embedding) == {}


def test_two_workers_share_the_queue(any_database: Database, conn: Connection) -> None:
    """Two drains at once embed each row once between them."""
    make_docs(conn, 100)
    embedding = embed(conn)
    models = [Fake(), Fake()]
    workers = [make_worker(any_database, model, batch=5) for model in models]
    threads = [threading.Thread(target=w.drain) for w in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # A claim may lock a job that was leased meanwhile, for a moment: its holder gives it back and encodes it again.
    texts = [t for m in models for call in m.calls for t in call]
    assert len(set(texts)) == 100
    assert sum(w.totals.embedded["public", "doc"] for w in workers) == 100
    assert stored(conn) == list(range(1, 101))
    assert jobs(conn, embedding) == {}


def test_a_daemon_serves_until_it_is_stopped(any_database: Database, conn: Connection) -> None:
    """`run` says when it is ready, embeds what comes, survives the loss of its connection, and ends on stop."""
    make_docs(conn, 1)
    embed(conn)
    ready, idle = threading.Event(), threading.Event()
    worker = make_worker(any_database, Fake(), hooks=Hooks(progress=lambda _e, _n: idle.set()))
    thread = threading.Thread(target=worker.run, args=(ready.set,))
    thread.start()
    try:
        assert ready.wait(120)
        assert idle.wait(120)
        idle.clear()
        conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
            " and pid <> pg_backend_pid()"
        )
        conn.execute("insert into doc values (2, 'two', 'b', 0)")
        assert idle.wait(120)
    finally:
        worker.stop.set()
        thread.join(120)

    assert not thread.is_alive()
    assert stored(conn) == [1, 2]


def test_a_daemon_claims_from_embeddings_with_ready_jobs(
    any_database: Database, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon looks for work with one statement, however many embeddings are declared."""
    make_docs(conn, 3)
    for name in ("default", "empty", "resting"):
        embed(conn, name=name)
    of = "pgpipe.embedding e where e.name = %s and j.embedding_id = e.embedding_id"
    conn.execute(f"delete from pgpipe.job j using {of}", ("empty",))
    conn.execute(f"update pgpipe.job j set visible_at = now() + '1 hour' from {of}", ("resting",))
    claimed: list[str] = []
    claim = queue.claim

    def noted(conn: Connection, embedding: queue.Embedding, *rest: Any) -> queue.Lease:
        claimed.append(embedding.name)
        return claim(conn, embedding, *rest)

    monkeypatch.setattr(queue, "claim", noted)
    worker = make_worker(any_database, Fake())
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        eventually(lambda: stored(conn) == [1, 2, 3])
    finally:
        worker.stop.set()
        thread.join(120)

    assert set(claimed) == {"default"}


def test_pgvector_in_a_schema_of_its_own(any_database: Database, conn: Connection) -> None:
    """The extension may lie in any schema, on nobody's search_path."""
    conn.execute('create schema "Ext Schema"')
    conn.execute('alter extension vector set schema "Ext Schema"')
    make_docs(conn, 2)
    embed(conn)

    make_worker(any_database, Fake()).drain()

    assert stored(conn) == [1, 2]
    hits = conn.execute("""select key from pgpipe.vector_search('doc', '[1,0,0]'::"Ext Schema".vector)""").fetchall()
    assert len(hits) == 2


def test_progress_moves_within_a_batch(any_database: Database, conn: Connection) -> None:
    """It is told as the model reads texts, and taken back where a batch is given back; in the end it is all jobs."""
    make_docs(conn, 600)
    embed(conn)
    told: list[int] = []
    failed: list[int] = []

    def fault(_texts: list[str]) -> None:
        if sum(told) > 0 and not failed:
            failed.append(sum(told))
            raise errors.Transient("the service is away", retry_after=0.1)

    hooks = Hooks(progress=lambda _target, done: told.append(done))
    make_worker(any_database, Fake(fault), batch=600, hooks=hooks).drain()

    assert failed == [256]
    assert told == [256, -256, 256, 256, 88]
