"""A server that takes no writes: each command that writes ends with one line, and doctor knows."""

from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from pgpipe import errors
from pgpipe.db import Connection, Database
from pgpipe.settings.model import DatabaseSettings
from tests.conftest import Cli, Lake, Server, make_cli
from tests.fixtures.servers import standby, start_wheel
from tests.flow.support import fails, rows
from tests.flow.test_doctor import examine, only
from tests.sql.fake_model import Fake, make_worker
from tests.sql.support import embed, eventually, make_docs, value

WORDS = [{"id": 1, "text": "some words of a row"}]
COMMANDS = ("migrate", "reconcile", "roles", "fill-search", "jobs retry", "embedding pause doc", "load")
# As two loads on the primary server look that have not ended: one said lately that it is alive.
LOADS = """
    insert into pgpipe.load (entity, date, mode, alive_at)
    values ('a', '2026-01-01', 'append', now() + interval '1 h'),
           ('b', '2026-01-01', 'append', now() - interval '2 min')
"""
STATES = [("a", "running"), ("b", "failed")]


def declare(conn: Connection) -> None:
    """A search that is being filled, and one that serves; an embedding with jobs."""
    make_docs(conn, 3)
    conn.execute("create table page (id int primary key, title text); insert into page values (1, 'okapi')")
    conn.execute("select pgpipe.enable_search('doc', '{title=>A}', online => true)")
    conn.execute("select pgpipe.enable_search('page', '{title=>A}')")
    embed(conn)


def refused(cli: Cli, database: Database, url: str) -> None:
    """Each command that writes says that the database is read-only, in one line; those that read go on."""
    for command in COMMANDS:
        options = ("--source", url, "--key", "id", "--json") if command == "load" else ()
        fails(cli(*command.split(), *options), 1, "the database is read-only: ", "connect to the primary server")
    with pytest.raises(errors.DatabaseError, match="the database is read-only"):
        make_worker(database, Fake()).drain()
    assert cli("status").code == 0
    assert "okapi" in cli("search", "okapi", "--entity", "page", "--mode", "text").out
    assert cli("plan", "--source", url).code == 0


def test_a_configuration_that_forbids_writes(server18: Server, database: Database, cli: Cli, lake: Lake) -> None:
    """V27: as managed services set it when a disk is full: said by each command and by doctor."""
    lake.put("2026-01-01", "product", WORDS)
    with psycopg.connect(server18.url, autocommit=True) as conn, database.connect(autocommit=True) as ours:
        declare(ours)
        conn.execute("alter system set default_transaction_read_only = on")
        conn.execute("select pg_reload_conf()")
        try:
            eventually(lambda: value(conn, "show default_transaction_read_only") == "on")
            refused(cli, database, lake.url)
            found = only(examine(cli, code=1), "read-only")
            assert (found[0], "default_transaction_read_only" in found[1], "disk is full" in found[2]) == (
                "failure",
                True,
                True,
            )
        finally:
            conn.execute("set default_transaction_read_only = off")
            conn.execute("alter system reset default_transaction_read_only")
            conn.execute("select pg_reload_conf()")


@pytest.mark.long
def test_a_standby(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """V27: a real standby answers searches; all else is refused in one line, and doctor names the standby."""
    lake.put("2026-01-01", "product", WORDS)
    with contextmanager(start_wheel)(18) as primary:
        name = primary.template
        with Database(DatabaseSettings(url=primary.at(name))).connect(autocommit=True) as conn:
            declare(conn)
            conn.execute(LOADS)
        with standby(primary) as copy:
            database = Database(DatabaseSettings(url=copy.at(name)))
            cli = make_cli(database.url, tmp_path, monkeypatch)
            refused(cli, database, lake.url)
            found = only(examine(cli, code=1), "read-only")
            assert rows(database, "select entity, state from pgpipe.load_status order by 1") == STATES
    assert (found[0], found[1].startswith("this server is a standby")) == ("failure", True)
