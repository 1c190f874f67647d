"""Whether a load that did not end is running: known by its lock, and on a standby by what it says of itself."""

import psycopg
import pytest

from pgpipe.db import Database
from pgpipe.load import alive as module
from pgpipe.load.alive import alive
from pgpipe.load.loader import LOCK
from pgpipe.settings.model import DatabaseSettings
from tests.conftest import Cli
from tests.flow.support import rows
from tests.sql.support import eventually

BEGUN = """
    insert into pgpipe.load (entity, date, mode, started_at, alive_at)
    values ('product', '2026-01-01', 'append', now() - interval '2 h', now() - interval '1 h')
"""
SAID = "select alive_at > started_at + interval '1 h 59 min' from pgpipe.load"
WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
SHOWN = "select state, split_part(error, ':', 1), round(seconds)::int / 60 from pgpipe.load_history"


def test_a_load_lives_as_long_as_its_lock_is_held(cli: Cli, database: Database) -> None:
    """Issue 13: a load that was killed is shown as broken off at once, with when, and not as running."""
    with database.connect(autocommit=True) as conn:
        conn.execute(BEGUN)
        with database.connect(autocommit=True) as load:
            load.execute(LOCK, ("public", "product"))
            assert conn.execute(SHOWN).fetchall() == [("running", None, 120)]
            load.execute(LOCK, ("public", "other"))
        eventually(lambda: conn.execute(SHOWN).fetchall() == [("failed", "broken off", 60)])
        at = conn.execute("select to_char(alive_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') from pgpipe.load")
        (when,) = at.fetchone() or ("",)

    shown = cli("status", "--json").out

    assert f"broken off: it last said that it is alive at {when} UTC" in shown


def test_a_load_that_runs_says_so(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 13: about every ten seconds, and never in the way of the load's own transaction."""
    monkeypatch.setattr(module, "EVERY", 0.02)
    with database.connect(autocommit=True) as conn:
        conn.execute(BEGUN)
        with alive(database, ["product"]):
            eventually(
                lambda: (
                    rows(database, "select alive_at > started_at + interval '1 h 59 min' from pgpipe.load") == [(True,)]
                )
            )
            with conn.transaction():
                conn.execute("update pgpipe.load set mode = mode")
                said = conn.execute("select alive_at from pgpipe.load").fetchall()
                assert rows(database, WAITING) == [(0,)]
            eventually(lambda: conn.execute("select alive_at from pgpipe.load").fetchall() > said)
        conn.execute("update pgpipe.load set finished_at = now()")


def test_no_free_connection_hinders_no_load(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 13: what a load says of itself is worth no failure of it."""
    monkeypatch.setattr(module, "EVERY", 0.01)
    nobody = Database(DatabaseSettings(url="postgresql://127.0.0.1:1/none?connect_timeout=2"))
    tried: list[int] = []
    connect = nobody.connect
    monkeypatch.setattr(nobody, "connect", lambda **options: tried.append(1) or connect(**options))

    with alive(nobody, ["product"]), database.connect() as conn:
        eventually(lambda: len(tried) > 1)
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
