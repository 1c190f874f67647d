"""Two embeddings of one target: searches across a switch, and one worker that serves several."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count

import pytest

from pgpipe import api
from pgpipe.api import vectors
from pgpipe.db import Connection, Database
from pgpipe.embed.model.base import Vectors
from pgpipe.embed.worker import Worker
from pgpipe.searching.ask import Hit
from pgpipe.settings.model import EmbeddingSettings, Settings
from tests.conftest import also_on_16
from tests.sql.fake_model import Fake
from tests.sql.support import column, embed, eventually, make_docs

ROUNDS = 12  # switches to and fro


class Blue(Fake):
    """The model of the first embedding."""

    name = "blue"


class Green(Fake):
    """That of the second, with other vectors and another number of dimensions."""

    name, dims = "green", 2

    def __init__(self) -> None:
        super().__init__(weights=b"green")

    def encode(self, texts: list[str]) -> Vectors:
        vectors = super().encode(texts)[:, :2]
        return vectors / ((vectors**2).sum(axis=1, keepdims=True) ** 0.5)


MODELS = {"blue": Blue, "green": Green}


@pytest.fixture
def two(any_database: Database, conn: Connection, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Forty rows with the vectors of two models, the first of which is active."""
    make_docs(conn, 40)
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
    embed(conn, model="blue")
    embed(conn, columns=["title"], model="green", dims=2, name="green")
    Worker(any_database, EmbeddingSettings(models=("*",)), load=lambda s: MODELS[s.model]()).drain()
    loaded = {name: kind() for name, kind in MODELS.items()}
    monkeypatch.setattr(vectors, "models", vectors.Loader(lambda s: loaded[s.model]))
    return any_database


def switch(conn: Connection, name: str) -> None:
    conn.execute("select pgpipe.switch_embedding('doc', %s)", (name,))


def ask(database: Database, mode: str) -> list[Hit]:
    return api.search(
        "title 7", "doc", mode, 10, settings=Settings(embedding=EmbeddingSettings(models=("*",))), database=database
    )  # type: ignore[arg-type] # of the two


def answers(database: Database, conn: Connection, mode: str) -> dict[str, list[Hit]]:
    """What either embedding answers while nothing else goes on."""
    found = {}
    for name in ("green", "default"):
        switch(conn, name)
        found[name] = ask(database, mode)
    assert found["green"] != found["default"]
    assert [len(hits) for hits in found.values()] == [10, 10]
    return found


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
def test_a_search_begun_before_the_switch(
    two: Database, conn: Connection, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """The switch commits while the model reads the question: the old store answers, all of it, to the old vector."""
    expected = answers(two, conn, mode)
    model = Blue()
    encode = model.encode

    def switching(texts: list[str]) -> Vectors:
        switch(conn, "green")
        return encode(texts)

    model.encode = switching  # type: ignore[method-assign]
    with monkeypatch.context() as patch:
        patch.setattr(vectors, "models", vectors.Loader(lambda _: model))
        assert ask(two, mode) == expected["default"]
    assert ask(two, mode) == expected["green"]


@also_on_16
def test_a_statement_that_waits_across_the_switch(two: Database, conn: Connection, other: Connection) -> None:
    """Plain SQL, held up by a lock on the store while the switch commits: the old store answers, whole."""
    question = Blue().encode(["title 7"])[0].tolist()
    statement = "select key, score from pgpipe.vector_search('doc', %s::real[]::vector, 10)"
    expected = conn.execute(statement, (question,)).fetchall()
    conn.execute("begin")
    conn.execute("lock table doc_embedding in access exclusive mode")
    with ThreadPoolExecutor(1) as pool, two.connect() as own:
        waiting = pool.submit(lambda: own.execute(statement, (question,)).fetchall())
        held = "select true from pg_locks where not granted and pid = %s"
        eventually(lambda: other.execute(held, (own.info.backend_pid,)).fetchone() is not None)
        switch(other, "green")
        conn.execute("rollback")

        assert waiting.result() == expected
        assert len(expected) == 10


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
def test_searches_beside_many_switches(two: Database, conn: Connection, mode: str) -> None:
    """None fails, none mixes the two; one that began after a switch, and ended before the next, is of the new store."""
    expected = answers(two, conn, mode)
    active = "default"
    turn = 0  # odd while a switch goes on
    over = threading.Event()
    seen = [0, 0]

    def search(searcher: int) -> None:
        while not over.is_set():
            before, settled = turn, active
            hits = ask(two, mode)
            assert hits in expected.values()
            if before == turn and before % 2 == 0:
                assert hits == expected[settled]
            seen[searcher] += 1

    with ThreadPoolExecutor(2) as pool:
        searches = [pool.submit(search, n) for n in range(2)]
        try:
            for name in ["green", "default"] * (ROUNDS // 2):
                turn += 1
                switch(conn, name)
                active = name
                turn += 1
                before = list(seen)
                eventually(
                    lambda before=before: all(a > b for a, b in zip(seen, before, strict=True)) or _failed(searches)
                )
        finally:
            over.set()
        for each in searches:
            each.result()


def _failed(searches: list[Future[None]]) -> bool:
    return any(s.done() for s in searches)


def test_embeddings_take_turns(any_database: Database, conn: Connection) -> None:
    """Batch by batch, however much waits for one of them; and a model that serves two is loaded once.

    The order of claims is exact (tests/unit/test_lanes.py); two lanes may finish in another order.
    """
    make_docs(conn, 100)
    many = embed(conn, name="many", model="blue")
    few = embed(conn, name="few", model="blue", columns=["title"], condition="id <= 20")
    third = embed(conn, name="third", model="green", dims=2, condition="id <= 20")
    loads: list[str] = []

    def load(settings: EmbeddingSettings) -> Fake:
        loads.append(settings.model)
        return MODELS[settings.model]()

    Worker(any_database, EmbeddingSettings(batch=10, models=("*",)), load=load).drain()

    served = column(conn, "select embedding_id from pgpipe.finished order by finished_at")
    assert (served.count(many), served.count(few), served.count(third)) == (10, 2, 2)
    assert max(n for n, embedding in enumerate(served) if embedding != many) < 10
    assert sorted(loads) == ["blue", "green"]


def test_what_comes_later_is_not_kept_waiting(any_database: Database, conn: Connection) -> None:
    """An embedding that gets work while another has much of it is next but for the batches already claimed."""
    make_docs(conn, 200)
    first = embed(conn, name="first", model="blue")
    late = embed(conn, name="late", model="blue", columns=["title"])
    conn.execute("delete from pgpipe.job where embedding_id = %s", (late,))  # so that no sweep is due
    batches = count(1)

    class Busy(Blue):
        def encode(self, texts: list[str]) -> Vectors:
            if len(texts) > 4 and next(batches) == 3:  # not the look at its weights
                conn.execute("select pgpipe_internal.enqueue_all(%s)", (late,))
            return super().encode(texts)

    Worker(any_database, EmbeddingSettings(batch=10, models=("*",)), load=lambda _: Busy()).drain()

    served = column(conn, "select embedding_id from pgpipe.finished order by finished_at")
    assert served.index(late) in range(2, 8)
    assert served.count(first) == served.count(late) == 20
