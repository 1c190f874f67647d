"""What the lanes of an embedder agree on."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pgpipe import errors
from pgpipe.embed import turns
from pgpipe.embed.backoff import SHORTEST, Backoff
from pgpipe.embed.crew import Crew
from pgpipe.embed.halt import CANCEL, CUT, LAST, LEAVE, LOOK, Halt
from pgpipe.embed.queue import Embedding
from pgpipe.embed.totals import Hooks, Report
from pgpipe.embed.trouble import Daemon, Drain
from pgpipe.embed.turns import Lookout, Turns
from pgpipe.target import Target
from tests.sql.support import eventually

LONG = 120.0


def embeddings(count: int) -> list[Embedding]:
    return [Embedding(Target(n, "public", f"entity {n}"), n, "default", "model", 3) for n in range(count)]


def test_embeddings_take_turns() -> None:
    """Each is taken once before any is taken twice; one that comes later is next."""
    order = Turns()
    some = embeddings(4)

    assert [order.take(some[:3]).embedding_id for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert [order.take(some).embedding_id for _ in range(5)] == [3, 1, 2, 0, 3]


def test_an_idle_embedder_looks_often() -> None:
    """A change waits for at most 0.4 seconds until an idle embedder looks, and embedders do not look in step."""
    daemon = Daemon(Backoff(), Report(Hooks()), Halt(threading.Event()))
    pauses = [daemon.idle() or 0.0 for _ in range(200)]

    assert (min(pauses) > 0, max(pauses) < 0.4, len(set(pauses)) > 100) == (True, True, True)


def test_lanes_that_ask_at_once_take_different_turns() -> None:
    """However many ask together, no embedding is taken twice before the others."""
    order = Turns()
    some = embeddings(10)

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: order.take(some).embedding_id, range(500)))

    assert sorted(taken) == sorted(list(range(10)) * 50)


def test_all_but_one_sleep() -> None:
    """The last lane awake looks out; when it finds work, the others wake; when it goes, one of them takes its place."""
    halt = Halt(threading.Event())
    lookout = Lookout(halt)

    entered = threading.Event()

    def sleep() -> bool:
        with lookout:
            entered.set()
            return lookout.sleep()

    for wake in ("found", "gone"):
        with ThreadPoolExecutor(1) as pool:
            with lookout:
                assert lookout.sleep() is False
                lookout.look()
                sleeping = pool.submit(sleep)
                assert entered.wait(LONG)
                eventually(lambda: lookout._awake == 1)
                entered.clear()
                assert lookout.sleep() is False
                assert not sleeping.done()
                lookout.look()
                if wake == "found":
                    lookout.found()
                    assert sleeping.result(LONG) is True
            assert sleeping.result(LONG) is True


def test_a_lane_sleeps_only_while_another_one_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is busy for long, or hangs, keeps no other asleep."""
    monkeypatch.setattr(turns, "STALE", 0.1)
    lookout = Lookout(Halt(threading.Event()))
    with lookout, lookout:
        lookout.look()
        assert lookout.sleep() is True


def test_a_halt_wakes_everybody() -> None:
    """A stop ends sleep and waits, and so does a lane that failed."""
    for end in ("stop", "fail"):
        stop = threading.Event()
        halt = Halt(stop)
        lookout = Lookout(halt)
        with lookout, ThreadPoolExecutor(2) as pool:

            def sleep(lookout: Lookout = lookout) -> bool:
                lookout.look()
                with lookout:
                    return lookout.sleep()

            waits = [pool.submit(sleep), pool.submit(halt.wait, 3600)]
            stop.set() if end == "stop" else halt.fail()
            assert [w.result(LONG) for w in waits] == [True, None]
        assert halt.stopped is (end == "stop")


def test_back_off_grows_and_is_counted_once() -> None:
    """Lanes that meet the same fault at once do not double it; a success makes the next one short."""
    backoff = Backoff()
    assert backoff.left(1) == 0
    assert [backoff.begin(1), backoff.begin(1)] == [SHORTEST, SHORTEST]
    assert 0 < backoff.left(1) <= SHORTEST
    assert [backoff.begin(2, asked=0), backoff.begin(2), backoff.begin(2)] == [0, SHORTEST, SHORTEST]
    backoff.end(1)
    assert backoff.left(1) == 0
    assert backoff.begin(1) == SHORTEST


def test_one_that_fails_ends_the_others() -> None:
    """The first error is raised, once all have ended."""
    halt = Halt(threading.Event())
    ended: list[str] = []

    def fail() -> None:
        raise ZeroDivisionError

    def work() -> None:
        halt.wait(3600)
        ended.append("work")

    with pytest.raises(ZeroDivisionError):
        Crew(halt).run([work, fail])

    assert (ended, halt.stopped) == (["work"], False)


def test_an_interrupt_ends_what_is_at_hand() -> None:
    """Ctrl-C arrives in the thread that watches: it is raised once the others have ended."""
    halt = Halt(threading.Event())
    ended: list[str] = []
    interrupts = iter([KeyboardInterrupt])

    def work() -> None:
        halt.wait(3600)
        ended.append("work")

    def watch(_halted: float) -> None:
        for interrupt in interrupts:
            raise interrupt

    with pytest.raises(KeyboardInterrupt):
        Crew(halt).run([work], watch)

    assert ended == ["work"]


def test_what_hangs_is_left_behind() -> None:
    """K14: after a stop, and only then, a thread that does not end is waited for no longer; two seconds suffice."""
    assert 0 < LOOK < CANCEL < CUT < LEAVE < LAST < 2
    stop, over = threading.Event(), threading.Event()
    works = [lambda: bool(stop.set()), lambda: bool(over.wait())]
    try:
        assert Crew(Halt(stop), leave=0.1).run(works) is False
    finally:
        over.set()
    assert Crew(Halt(threading.Event())).run([lambda: None]) is True


def test_a_drain_says_each_error_once(logged: list[dict[str, Any]]) -> None:
    """V13: it raises the first error, so the log need not say that one; those of other embeddings are in the log."""
    drain = Drain(None, Backoff(), Halt(threading.Event()))
    first, second, third = embeddings(3)

    for embedding in (first, second, second):  # two lanes met the second one
        drain.met(embedding, errors.ModelRefused(f"not {embedding.entity}"))

    assert [str(error) for error in drain.refused.values()] == [f"not {e.entity}" for e in (first, second)]
    assert [e["entity"] for e in logged if e["level"] == "ERROR"] == [second.entity]
    assert [drain.wants(embedding) for embedding in (first, second, third)] == [False, False, True]
