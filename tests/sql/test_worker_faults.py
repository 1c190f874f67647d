"""What a worker does when the model fails: which text is to blame, who is charged, and what is stored all the same."""

import re

import numpy as np
import pytest

from pgpipe import errors
from pgpipe.db import Connection, Database
from pgpipe.embed.batch import Encoder
from pgpipe.embed.model.base import Truncated, Vectors
from tests.conftest import also_on_16
from tests.sql.fake_model import Fake, make_worker, refuse
from tests.sql.support import embed, job, jobs, make_docs, stored, value


def test_a_refused_text_ends_dead_and_alone(any_database: Database, conn: Connection) -> None:
    """The model refuses one text: all others are embedded at once; that one is charged at each try, then dead."""
    make_docs(conn, 40)
    conn.execute("update doc set body = 'poison' where id = 17")
    embedding = embed(conn)
    worker = make_worker(any_database, Fake(refuse("poison")))

    for attempt in range(1, 6):
        worker.drain()
        state = job(conn, embedding, '{"id": 17}')
        assert (state["attempts"], state["last_error"]) == (attempt, "ValueError: cannot read poison")
        conn.execute("update pgpipe.job set visible_at = now() where dead_at is null")

    assert state["dead_at"] is not None
    assert stored(conn) == [n for n in range(1, 41) if n != 17]
    assert (worker.totals.failed, worker.totals.embedded) == (5, {("public", "doc"): 39})


def test_poison_is_found_in_few_calls() -> None:
    """One bad text among 256 costs one call that fails for each halving, not one for each text."""
    model = Fake(refuse("poison"))
    texts = ["poison" if n == 100 else f"text {n}" for n in range(256)]

    encoder = Encoder(model)
    result, broken = encoder.encode(texts, lambda _share: None)

    assert len(model.calls) <= 2 * 8 + 1
    assert encoder.failed_calls <= 8 + 1
    assert list(broken) == [100]
    assert broken[100].charge
    assert np.allclose(result[99], Fake().encode(["text 99"])[0])
    assert result.shape == (256, 3)


def test_short_of_memory_charges_nobody(any_database: Database, conn: Connection) -> None:
    """A batch that is too large for the machine is halved until it fits: every row is embedded, none charged."""

    def too_many(texts: list[str]) -> None:
        if len(texts) > 4:
            raise MemoryError

    make_docs(conn, 30)
    embedding = embed(conn)

    totals = make_worker(any_database, Fake(too_many)).drain()

    assert (totals.embedded, totals.failed) == ({("public", "doc"): 30}, 0)
    assert jobs(conn, embedding) == {}


def test_a_text_too_large_for_memory_is_not_charged(any_database: Database, conn: Connection) -> None:
    """One text that even alone needs too much memory waits, uncharged: another machine may take it."""

    def too_large(texts: list[str]) -> None:
        if any("huge" in t for t in texts):
            raise MemoryError

    make_docs(conn, 5)
    conn.execute("update doc set body = 'huge' where id = 2")
    embedding = embed(conn)

    make_worker(any_database, Fake(too_large)).drain()

    state = job(conn, embedding, '{"id": 2}')
    assert (state["attempts"], state["ready"], state["lease_token"]) == (0, False, None)
    assert stored(conn) == [1, 3, 4, 5]


class Odd(Fake):
    """A model whose vector of a text with the word `odd` is of this value throughout."""

    def __init__(self, bad: float, dims: int = 3) -> None:
        super().__init__()
        self.bad, self.dims = bad, dims

    def encode(self, texts: list[str]) -> Vectors:
        result = np.resize(super().encode(texts), (len(texts), self.dims)).astype(np.float32)
        result[[n for n, t in enumerate(texts) if "odd" in t]] = self.bad
        return result


@pytest.mark.parametrize(
    ("bad", "dims", "reason"),
    [
        (np.nan, 3, "not finite"),
        (np.inf, 3, "not finite"),
        (0, 3, "zeros"),
        (-0.0, 3, "zeros"),
        (1e-30, 3, "length is 0$"),
        (1e30, 3, "length is infinite$"),
        (1e-9, 2001, "length is 0 in half precision"),
        (70_000, 2001, "length is infinite in half precision"),
    ],
)
def test_a_vector_without_a_direction(
    any_database: Database, conn: Connection, bad: float, dims: int, reason: str
) -> None:
    """V23: a text whose vector no search could find, as it would be stored, is charged; the others are stored."""
    make_docs(conn, 5)
    conn.execute("update doc set body = 'odd' where id = 2")
    embedding = embed(conn, dims=dims)

    make_worker(any_database, Odd(bad, dims)).drain()

    state = job(conn, embedding, '{"id": 2}')
    assert state["attempts"] == 1
    assert re.search(reason, state["last_error"])
    assert stored(conn) == [1, 3, 4, 5]


def test_zero_once_it_is_cut() -> None:
    """V23: what is zero in the first dimensions is charged where only those are kept."""

    class Late(Fake):
        def encode(self, texts: list[str]) -> Vectors:
            return np.array([[0, 0, 1] if "odd" in t else [1, 0, 0] for t in texts], np.float32)

    _, broken = Encoder(Truncated(Late(), 2)).encode(["odd", "even"], lambda _share: None)

    assert {n: failure.charge for n, failure in broken.items()} == {0: True}


@also_on_16
def test_a_broken_machine_is_an_error_and_charges_nobody(any_database: Database, conn: Connection) -> None:
    """The model fails on every text, also on a plain word: the worker says so and gives the batch back as it was."""
    make_docs(conn, 10)
    embedding = embed(conn)

    with pytest.raises(errors.ModelError, match="fails on any text: ValueError: cannot read"):
        make_worker(any_database, Fake(refuse(""))).drain()

    query = "select count(*) from pgpipe.job where attempts = 0 and lease_token is null and visible_at <= now()"
    assert value(conn, query) == 10
    assert len(jobs(conn, embedding)) == 10


def test_a_batch_of_one_bad_chunk_is_one_bad_row(any_database: Database, conn: Connection) -> None:
    """A piece that the model refuses fails its whole row: no half-embedded text is stored."""
    make_docs(conn, 2)
    conn.execute("update doc set body = repeat('x', 100) || 'poison' || repeat('y', 100) where id = 1")
    embedding = embed(conn)

    make_worker(any_database, Fake(refuse("poison"), room=120)).drain()

    assert stored(conn) == [2]
    assert list(jobs(conn, embedding)) == ['{"id": 1}']


@also_on_16
def test_a_text_that_cannot_be_split(any_database: Database, conn: Connection) -> None:
    """A failure of the splitter is the text's failure, not the batch's."""

    class Odd(Fake):
        def split(self, text: str, size: int | None = None, overlap: int = 0) -> list[tuple[int, int]]:
            if "odd" in text:
                raise ValueError("no split")
            return super().split(text, size, overlap)

    make_docs(conn, 3)
    conn.execute("update doc set body = 'odd' where id = 2")
    embedding = embed(conn)

    make_worker(any_database, Odd()).drain()

    assert job(conn, embedding, '{"id": 2}')["last_error"] == "ValueError: no split"
    assert stored(conn) == [1, 3]


@also_on_16
def test_the_wrong_model(any_database: Database, conn: Connection) -> None:
    """A model of other dimensions than the store is refused by name, and the jobs stay as they were."""
    make_docs(conn, 3)
    embed(conn, dims=4)

    with pytest.raises(errors.ModelError, match=r"'fake' makes 3 dimensions, but the store of public\.doc has 4"):
        make_worker(any_database, Fake()).drain()

    assert value(conn, "select count(*) from pgpipe.job where lease_token is null and attempts = 0") == 3
