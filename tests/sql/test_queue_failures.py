"""Jobs that come back: failed, dead, retried, released, held on to."""

import uuid
from dataclasses import replace
from itertools import pairwise

from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.sql.support import (
    claim,
    drain,
    embed,
    expire,
    extend,
    fail,
    job,
    make_docs,
    release,
    value,
    waiting_docs,
)

KEY = '{"id": 1}'


def test_a_failure_backs_off_and_ends_dead(conn: Connection) -> None:
    """Charged: each wait is longer than the last, until the job is dead with its error; then nobody claims it."""
    embedding = waiting_docs(conn, 1)
    waits = []
    for attempt in range(1, 6):
        assert fail(conn, claim(conn, embedding), charge=True, error=f"no {attempt}") == 1
        state = job(conn, embedding, KEY)
        assert (state["attempts"], state["last_error"], state["lease_token"]) == (attempt, f"no {attempt}", None)
        waits.append(state["wait"])
        assert claim(conn, embedding).jobs == []
        conn.execute("update pgpipe.job set visible_at = now() where dead_at is null")

    assert waits[4] is None
    assert all(b > a * 1.5 for a, b in pairwise(waits[:4]))
    assert job(conn, embedding, KEY)["dead_at"] is not None
    assert claim(conn, embedding).jobs == []
    assert value(conn, "select (waiting, dead)::text from pgpipe.embedding_status") == "(0,1)"


def test_the_longest_wait_is_an_hour(conn: Connection) -> None:
    """However many attempts are allowed, the back-off neither overflows nor exceeds its bound."""
    embedding = waiting_docs(conn, 1)
    conn.execute("update pgpipe.embedding set max_attempts = 10000")
    conn.execute("update pgpipe.job set attempts = 5000")

    fail(conn, claim(conn, embedding), charge=True)

    assert 3000 < job(conn, embedding, KEY)["wait"] < 4000


def test_a_machine_at_fault_charges_nobody(conn: Connection) -> None:
    """Uncharged: the job waits, and has as many attempts before it as ever."""
    embedding = waiting_docs(conn, 1)
    conn.execute("update pgpipe.embedding set max_attempts = 1")

    for _ in range(3):
        fail(conn, claim(conn, embedding), charge=False, error="out of memory")
        state = job(conn, embedding, KEY)
        assert (state["attempts"], state["dead_at"], state["ready"]) == (0, None, False)
        conn.execute("update pgpipe.job set visible_at = now()")


def test_a_newer_text_does_not_inherit_a_failure(conn: Connection) -> None:
    """The row changed while its old text failed: the new one is ready, uncharged, not dead."""
    embedding = waiting_docs(conn, 1)
    conn.execute("update pgpipe.embedding set max_attempts = 1")
    held = claim(conn, embedding)
    conn.execute("update doc set title = 'cured'")

    assert fail(conn, held, charge=True) == 1

    state = job(conn, embedding, KEY)
    assert (state["ready"], state["attempts"], state["dead_at"], state["last_error"]) == (True, 0, None, None)
    assert drain(conn, embedding) == 1


def test_only_the_holder_may_fail_a_job(conn: Connection) -> None:
    """A worker whose lease passed on cannot charge the job of the next one."""
    embedding = waiting_docs(conn, 1)
    slow = claim(conn, embedding)
    expire(conn)
    fast = claim(conn, embedding)

    assert fail(conn, slow, charge=True) == 0
    assert job(conn, embedding, KEY)["lease_token"] == str(fast.token)


@also_on_16
def test_retry_revives_the_dead(conn: Connection) -> None:
    """By command dead jobs are ready again with all their attempts, of one embedding or of all."""
    make_docs(conn, 2)
    ids = [embed(conn, name=name) for name in ("one", "two")]
    conn.execute("update pgpipe.embedding set max_attempts = 1")
    for embedding in ids:
        fail(conn, claim(conn, embedding), charge=True)

    assert value(conn, "select pgpipe.retry_jobs(%s)", ids[0]) == 2
    assert [len(claim(conn, e).jobs) for e in ids] == [2, 0]
    assert value(conn, "select pgpipe.retry_jobs()") == 2
    assert len(claim(conn, ids[1]).jobs) == 2


@also_on_16
def test_release_gives_back_at_once(conn: Connection) -> None:
    """What a token holds is ready again, uncharged; what others hold is not touched."""
    embedding = waiting_docs(conn, 4)
    mine, theirs = claim(conn, embedding, 2), claim(conn, embedding, 1)

    assert release(conn, mine) == 2
    assert release(conn, mine) == 0

    assert claim(conn, embedding).ids == {1, 2, 3, 4} - theirs.ids


@also_on_16
def test_extend_holds_on(conn: Connection) -> None:
    """A lease that is extended outlives its first end; a token that holds nothing extends nothing."""
    embedding = waiting_docs(conn, 2)
    held = claim(conn, embedding, lease="1 second")
    conn.execute("update pgpipe.job set visible_at = now() - interval '1 second'")

    assert extend(conn, held) == 2

    assert claim(conn, embedding).jobs == []
    assert extend(conn, replace(held, token=uuid.uuid4())) == 0
