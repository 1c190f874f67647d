"""A model that has the name of the one that made a store's vectors, but other weights, is told apart."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pgpipe import errors
from pgpipe.api import question_vector
from pgpipe.db import Connection, Database
from pgpipe.embed.model import identity
from pgpipe.embed.model.base import Vectors
from pgpipe.embed.model.identity import PROBES
from pgpipe.embed.worker import Worker
from pgpipe.searching.ask import find_searchable
from pgpipe.settings.model import EmbeddingSettings
from tests.conftest import also_on_16
from tests.sql.fake_model import Fake, make_worker
from tests.sql.support import embed, embedded_docs, eventually, make_docs, stored, value

READY = "select count(*) from pgpipe.job where attempts = 0 and lease_token is null and visible_at <= now()"


def filled(database: Database, conn: Connection) -> None:
    """Three rows with vectors of the model `fake`, and one that waits."""
    make_docs(conn, 3)
    embed(conn)
    make_worker(database, Fake()).drain()
    conn.execute("insert into doc values (4, 'new', 'row', 4)")


def test_a_drain_refuses_other_weights(any_database: Database, conn: Connection) -> None:
    """One line says what, where and what to do; the job stays as it was, and the right model takes it."""
    filled(any_database, conn)

    with pytest.raises(
        errors.OtherModel, match=r"'fake' .* vectors of public\.doc \(embedding default\).*`pgpipe embedding add public"
    ):
        make_worker(any_database, Fake(weights=b"other")).drain()

    assert errors.OtherModel.exit_code == 2
    assert stored(conn) == [1, 2, 3]
    assert value(conn, READY) == 1
    assert make_worker(any_database, Fake()).drain().embedded == {("public", "doc"): 1}


@also_on_16
def test_the_way_out(any_database: Database, conn: Connection) -> None:
    """A second embedding with the new weights is filled although the first is refused; after the switch all is well."""
    filled(any_database, conn)
    embed(conn, name="next")
    other = Fake(weights=b"other")

    with pytest.raises(errors.OtherModel, match="embedding default"):
        make_worker(any_database, other).drain()

    assert value(conn, "select count(*) from doc_embedding_next") == 4
    conn.execute("select pgpipe.switch_embedding('doc', 'next')")
    conn.execute("select pgpipe.disable_embedding('doc', 'default')")
    conn.execute("update doc set title = 'again' where id = 1")
    assert make_worker(any_database, other).drain().embedded == {("public", "doc"): 1}


def test_a_daemon_with_nothing_else_ends(any_database: Database, conn: Connection) -> None:
    """At the start, before it says that it is ready; also where no job waits."""
    filled(any_database, conn)
    conn.execute("delete from pgpipe.job")

    with pytest.raises(errors.OtherModel):
        make_worker(any_database, Fake(weights=b"other")).run(lambda: pytest.fail("ready"))


def test_a_daemon_serves_the_others(any_database: Database, conn: Connection) -> None:
    """The embedding with other weights rests, the one beside it is filled."""
    filled(any_database, conn)
    embed(conn, name="next")
    worker = make_worker(any_database, Fake(weights=b"other"))
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        eventually(lambda: value(conn, "select count(*) from doc_embedding_next") == 4)
    finally:
        worker.stop.set()
        thread.join()

    assert stored(conn) == [1, 2, 3]
    assert value(conn, READY) == 1


def test_a_question_is_read_by_the_same_weights(any_database: Database, conn: Connection) -> None:
    """Search refuses a model that would place the question elsewhere; it asks each model once."""
    filled(any_database, conn)
    target = find_searchable(conn, "doc", "public")
    asked: list[list[str]] = []

    class Counted(Fake):
        def encode(self, texts: list[str]) -> Vectors:
            asked.append(texts)
            return super().encode(texts)

    good, other = Counted(), Fake(weights=b"other")

    for _ in range(2):
        assert len(question_vector("x", target, EmbeddingSettings(model="fake"), lambda _: good)) == 3
    with pytest.raises(errors.OtherModel, match=r"vectors of public\.doc"):
        question_vector("x", target, EmbeddingSettings(model="fake"), lambda _: other)
    assert asked == [PROBES, ["x"], ["x"]]


def test_the_first_fingerprint_stays(any_database: Database, conn: Connection) -> None:
    """Of several embedders that start together one is first; all compare with what that one noted."""
    embedding = embedded_docs(conn)

    def note(n: int) -> bytes:
        with any_database.connect(autocommit=True) as own:
            return value(own, "select pgpipe_internal.note_fingerprint(%s, %s)", embedding, b"%d" % n)

    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(note, range(8)))

    assert answers == {value(conn, "select fingerprint from pgpipe.embedding")}
    assert value(conn, "select pgpipe_internal.note_fingerprint(-1, 'x') is null")


def test_a_backend_that_cannot_answer_yet(any_database: Database, conn: Connection) -> None:
    """Throttled at the first look: that is waited for like in the work itself, and then compared."""
    make_docs(conn, 3)
    embed(conn)

    class Throttled(Fake):
        looks = 0

        def encode(self, texts: list[str]) -> Vectors:
            self.looks += texts == PROBES
            if self.looks == 1:
                raise errors.Transient("busy", retry_after=0.01)
            return super().encode(texts)

    model = Throttled()

    worker = Worker(any_database, EmbeddingSettings(model="fake"), load=lambda _: model)

    assert worker.drain().embedded == {("public", "doc"): 3}

    assert value(conn, "select fingerprint from pgpipe.embedding") == identity.take(Fake())


def test_a_cut_model_is_the_same(any_database: Database, conn: Connection) -> None:
    """A store of fewer dimensions is compared in those; search asks the model as it was loaded."""
    make_docs(conn, 3)
    embed(conn, dims=2)
    settings = EmbeddingSettings(model="fake", truncate_dim=2)
    Worker(any_database, settings, load=lambda _: Fake()).drain()
    target = find_searchable(conn, "doc", "public")

    assert len(question_vector("x", target, settings, lambda _: Fake())) == 2
    with pytest.raises(errors.OtherModel):
        question_vector("x", target, settings, lambda _: Fake(weights=b"other"))
