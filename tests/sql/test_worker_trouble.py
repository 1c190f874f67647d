"""One thing's trouble never stops another's: any error, in any call of a worker, of one embedding or of one row."""

from contextlib import nullcontext, suppress
from typing import Any

import psycopg
import pytest

from pgpipe import errors
from pgpipe.db import Connection
from pgpipe.embed import trouble
from tests.sql.fake_model import Fake
from tests.sql.injected import CALLS, CHARGED, CODES, PASSING, STATUS, Embedded, Panic, break_call, daemon, inject
from tests.sql.support import column, eventually, value

FEW = ["22003", "42501", "57P01", "lost"]  # of the rows, of the table, of nobody; and the connection itself
ALL = [*CODES, "lost"]
ROUNDS = [
    pytest.param("claim", ALL, id="claim"),
    *[pytest.param(call, FEW, id=call) for call in CALLS if call != "claim"],
    *[pytest.param(call, ALL, id=f"{call}, all", marks=pytest.mark.long) for call in CALLS if call != "claim"],
]
DRAINS = [
    *[pytest.param(call, FEW, id=call) for call in ("claim", "finish")],
    *[pytest.param(call, ALL, id=f"{call}, all", marks=pytest.mark.long) for call in CALLS if call != "sweep"],
]


@pytest.mark.parametrize(("call", "codes"), ROUNDS)
def test_a_call_that_fails_for_one_embedding(two: Embedded, call: str, codes: list[str]) -> None:
    """V8, K13: whatever the error, a daemon lives and serves the others; status tells, and all ends well."""
    with daemon(two):
        eventually(lambda: two.served("sick") and two.served("well"))
        break_call(two.conn, CALLS[call])
        for code in codes:
            inject(two.conn, code)
            two.conn.execute("delete from pgpipe.trouble")
            two.change(code)
            if call == "sweep":
                two.conn.execute("update pgpipe.sweep set definition = 'another'")
            eventually(lambda: two.served("well"))
            eventually(lambda: bool(value(two.conn, STATUS)))
        inject(two.conn, "")
        eventually(lambda: two.served("sick"))
        eventually(lambda: value(two.conn, STATUS) == "")


@pytest.mark.parametrize(("call", "codes"), DRAINS)
def test_a_drain_with_one_embedding_that_fails(two: Embedded, call: str, codes: list[str]) -> None:
    """V13: the others are served to the end; then the error of the one is raised, and its rows are as they were."""
    two.worker().drain()
    break_call(two.conn, CALLS[call])
    for code in codes:
        inject(two.conn, code)
        two.change(code)

        with pytest.raises(errors.PgpipeError, match=r"injected|terminating connection"):
            two.worker().drain()

        assert two.served("well"), code
        assert column(two.conn, "select attempts from pgpipe.job where lease_token is null") == [0, 0, 0], code
    inject(two.conn, "")
    two.worker().drain()
    assert two.served("sick")


ROW = """
    create function guard_row() returns trigger language plpgsql as $$
    begin
        if new.id = 2 then perform public.guard(); end if;
        return new;
    end $$;
    create trigger guard_row before insert or update on sick_embedding for each row execute function guard_row()
"""


@pytest.mark.parametrize(
    ("where", "codes"),
    [
        pytest.param("claim", CODES[::2], id="claim"),
        pytest.param("finish", CODES[1::2], id="finish"),
        pytest.param("claim", CODES[1::2], id="claim, others", marks=pytest.mark.long),
        pytest.param("finish", CODES[::2], id="finish, others", marks=pytest.mark.long),
    ],
)
def test_one_row_that_the_database_refuses(two: Embedded, where: str, codes: list[str]) -> None:
    """V8, K13: it alone is charged, and the error is kept with it, unless the error says nothing about rows."""
    two.worker().drain()
    if where == "claim":
        break_call(two.conn, "pgpipe_target.read_1", "exists (select from unnest(batch) j where j.key ->> 'id' = '2')")
    else:
        two.conn.execute(ROW)
    for code in codes:
        inject(two.conn, code)
        two.change(code)
        if code in PASSING:
            with pytest.raises(errors.PgpipeError, match="injected"):
                two.worker().drain()
            assert [row[:2] for row in two.conn.execute(CHARGED)] == [(1, 0), (2, 0), (3, 0)], code
        else:
            two.worker().drain()
            ((id_, attempts, reason),) = two.conn.execute(CHARGED).fetchall()
            assert (id_, attempts) == (2, 1), code
            assert "injected" in reason
        assert two.served("well"), code


FAULTS = [
    OSError("no device"), MemoryError(), ValueError("bad"), KeyError("x"), InterruptedError(),
    RuntimeError("CUDA error"), SystemExit(3), Panic("index out of bounds"), errors.Permanent("refused"),
    errors.TooLarge("large"),
    errors.Transient("down", 0.02), errors.ModelError("another"), psycopg.OperationalError("of another database"),
    UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), RecursionError(), TimeoutError(),
]  # fmt: skip


@pytest.mark.parametrize("moment", ["load", "count", "split", "encode"])
def test_a_model_that_raises_anything(two: Embedded, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """K13: for one embedding: the others are served; the error is kept with the rows or the embedding."""
    fault: list[BaseException] = []

    class Bad(Fake):
        def __init__(self) -> None:
            super().__init__(lambda _: self.check("encode"))
            self.check("load")

        def check(self, what: str) -> None:
            if fault and what == moment:
                raise fault[0]

        def split(self, text: str, size: int | None = None, overlap: int = 0) -> list[tuple[int, int]]:
            self.check("split")
            return super().split(text, size, overlap)

        def count(self, texts: list[str]) -> list[int]:
            self.check("count")
            return [len(text) for text in texts]

    monkeypatch.setattr(two, "load", lambda settings: Bad() if settings.model == "sick" else Fake())
    for number, exc in enumerate(FAULTS if moment == "encode" else FAULTS[::3]):
        fault[:] = [exc]
        two.change(str(number))
        two.conn.execute("delete from pgpipe.trouble; update pgpipe.job set last_error = null")
        with suppress(errors.PgpipeError) if moment != "count" else nullcontext():
            two.worker().drain()
        assert two.served("well"), exc
        if moment == "count":
            assert two.served("sick"), exc
        else:
            kept = [value(two.conn, STATUS), *column(two.conn, "select coalesce(last_error, '') from pgpipe.job")]
            assert any(str(exc).strip("'") in said or type(exc).__name__ in said for said in kept if said), (exc, kept)
    fault.clear()
    two.change("cured")
    two.worker().drain()
    assert two.served("sick")


def test_a_connection_that_is_lost_while_the_model_works(two: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    """V15: what was encoded is stored over another connection: no text is encoded, or paid for, twice."""
    read: list[str] = []

    def cut(texts: list[str]) -> None:
        read.extend(texts)
        two.conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
            " and pid <> pg_backend_pid()"
        )

    monkeypatch.setattr(two, "load", lambda _settings: Fake(cut))
    with daemon(two):
        eventually(lambda: two.served("sick") and two.served("well"))
    assert sorted(read) == [f"{table} {n}" for table in ("sick", "well") for n in (1, 2, 3)]


def test_words_that_cannot_be_counted(two: Embedded, logged: list[dict[str, Any]]) -> None:
    """V9: a table whose search column is gone is said once; those of others are counted, and jobs are served."""
    for table in ("sick", "well"):
        two.conn.execute("select pgpipe.enable_search(%s::regclass, '{title=>A}')", (table,))
    two.conn.execute("alter table sick drop column search")
    two.conn.execute("update pgpipe.search set refreshed_at = null")
    counted = "select count(*) from pgpipe.search where target = 'well'::regclass and refreshed_at is not null"
    with daemon(two):
        eventually(lambda: value(two.conn, counted) == 1)
        two.change("later")
        eventually(lambda: two.served("well") and two.served("sick"))
        two.conn.execute("update pgpipe.search set refreshed_at = null where target = 'well'::regclass")
        eventually(lambda: value(two.conn, counted) == 1)
    assert [e["target"] for e in logged if e["event"] == "words are not counted"] == ["sick"]


def test_the_classes_of_both_sides(conn: Connection) -> None:
    """The worker and its SQL functions agree on the errors that say nothing about rows."""
    states = sorted({*psycopg.errors._sqlcodes, *CODES})
    passing = column(conn, "select state from unnest(%s::text[]) state where pgpipe_internal.is_passing(state)", states)
    assert passing == [state for state in states if state.startswith(trouble.PASSING)]
