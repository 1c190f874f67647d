"""Whatever Python raises within a step of a worker: it is of one row or of one embedding, and worded as it is."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest

from pgpipe.embed import index, queue, sweep, words
from pgpipe.embed.step import step
from tests.sql.injected import CHARGED, STATUS, Embedded, Panic, daemon
from tests.sql.support import eventually, value

OF_OURS: list[BaseException] = [
    ValueError("bad"), TypeError("bad"), MemoryError("bad"), OSError("bad"), KeyError("bad"), RuntimeError("bad"),
    UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), psycopg.InterfaceError("bad"), psycopg.DataError("bad"),
    SystemExit("bad"), Panic("bad"),
]  # fmt: skip


SAYS = {"words": "words are not counted", "sweep": "sweeps are in back-off", "index": "vector index not built"}


def errors_of(fault: BaseException, logged: list[dict[str, Any]], event: str) -> list[str]:
    """The errors that name it in the log."""
    found = [entry for entry in [*logged] if entry["event"] == event]
    return [said for entry in found if type(fault).__name__ in (said := str(entry.get("error")))]


@pytest.mark.parametrize(
    ("call", "faults"),
    [
        pytest.param("claim", OF_OURS[::4], id="claim"),
        pytest.param("finish", OF_OURS[1::4], id="finish"),
        pytest.param("idle", OF_OURS[2::4], id="idle"),
        *[
            pytest.param(call, OF_OURS, id=f"{call}, all", marks=pytest.mark.long)
            for call in ("claim", "finish", "idle")
        ],
    ],
)
def test_a_step_of_ours_that_raises_anything(
    two: Embedded,
    monkeypatch: pytest.MonkeyPatch,
    logged: list[dict[str, Any]],
    call: str,
    faults: list[BaseException],
) -> None:
    """V8, K13: a fault of pgpipe's own is worded as one; the daemon lives and serves, and all ends well."""
    now: list[BaseException] = []
    real = queue._call

    def called(cursor: Any, statement: Any, name: str, embedding: queue.Embedding, values: Any) -> None:
        if now and name == call and embedding.model == "sick":
            raise now[0]
        real(cursor, statement, name, embedding, values)

    @contextmanager
    def faulty(doing: str) -> Iterator[None]:
        with step(doing):
            if now:
                raise now[0]
            yield

    monkeypatch.setattr(queue, "_call", called)
    monkeypatch.setattr(index, "LOOK", 0.05)
    for module in (words, sweep, index) if call == "idle" else ():
        monkeypatch.setattr(module, "step", faulty)
    said = list(SAYS.values()) if call == "idle" else ["embedding is in back-off"]
    two.conn.execute("select pgpipe.enable_search('well', '{title=>A}')")
    with daemon(two):
        for fault in faults:
            two.conn.execute("update pgpipe.search set refreshed_at = null; delete from pgpipe.trouble")
            logged.clear()
            now[:] = [fault]
            two.change("later")
            eventually(partial(lambda fault: all(errors_of(fault, logged, event) for event in said), fault))
            eventually(lambda: two.served("well") and (call != "idle" or two.served("sick")))
            for error in (error for event in said for error in errors_of(fault, logged, event)):
                assert re.match("pgpipe failed while|the database driver refuses", error)
            assert not [entry for entry in [*logged] if entry["event"] == "database lost"]
        now.clear()
        two.conn.execute("update pgpipe.search set refreshed_at = null")
        eventually(lambda: value(two.conn, "select count(*) from pgpipe.search where refreshed_at is not null") == 1)
        eventually(lambda: two.served("sick") and value(two.conn, STATUS) == "")


def test_a_row_that_cannot_be_sent(two: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    """K13: whatever is raised while it is finished: it alone is charged, and not for want of memory."""
    faults: list[BaseException] = []
    real = queue._batch_row

    def sent(job: queue.Job) -> str:
        if faults and job.key == '{"id": 2}' and "sick" in str(job.content):
            raise faults[0]
        return real(job)

    monkeypatch.setattr(queue, "_batch_row", sent)
    for fault in [*OF_OURS[::5], MemoryError("bad")]:
        faults[:] = [fault]
        two.change(type(fault).__name__)
        two.worker().drain()
        ((id_, attempts, reason),) = two.conn.execute(CHARGED).fetchall()
        assert (id_, attempts) == (2, not isinstance(fault, MemoryError)), fault
        assert type(fault).__name__ in reason
        assert two.served("well")
