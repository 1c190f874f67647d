"""K15: a load that changes a table which somebody reads or writes for long: it asks briefly, and holds up nobody."""

from collections.abc import Iterator

import psycopg
import pytest

from pgpipe.db import Connection, Database, Patience, one
from pgpipe.load.loader import Loader
from pgpipe.settings.entity import EntitySettings
from pgpipe.settings.source import SourceSettings
from pgpipe.source import open_source
from tests.conftest import Cli, Lake
from tests.flow.support import fails, load, newest, rows

OLDER = [{"id": n, "name": f"n{n}"} for n in (1, 2, 3)]
MODES: dict[str, dict[str, list[str]]] = {"append": {}, "snapshot": {"key": ["id"]}}


@pytest.fixture
def report(database: Database) -> Iterator[Connection]:
    """A session that reads or writes, and does not end its transaction."""
    with psycopg.connect(database.url, application_name="report") as conn:
        yield conn
        conn.rollback()


def later(lake: Lake) -> None:
    """A date with a new column, and with a wider one."""
    lake.put("2026-01-02", "product", [{"id": n, "name": f"n{n}", "colour": "red"} for n in (3, 4)])


@pytest.mark.parametrize("mode", MODES)
def test_a_load_waits_and_lets_others_through(
    cli: Cli, lake: Lake, database: Database, report: Connection, mode: str
) -> None:
    """K15: it says whom it waits for; others read meanwhile; once the reader is gone the load goes on by itself."""
    lake.put("2026-01-01", "product", OLDER)
    load(cli, lake.url, *(("--key", "id") if MODES[mode] else ()), "--mode", mode, "--skip-search")
    later(lake)
    report.execute("select from product")
    said = []

    def tell(line: str) -> None:
        said.append(line)
        with database.connect(autocommit=True) as other:
            other.execute("set statement_timeout = '20s'")
            other.execute("select from product")
        report.rollback()

    source = open_source(SourceSettings(url=lake.url))
    (files,) = newest(source)
    settings = EntitySettings.model_validate({"mode": mode} | MODES[mode])
    _, counts = Loader(database, source, 2, Patience(60, tell)).load(
        files, settings, lambda *_: None, lambda _: lambda _: None
    )

    (line,) = said
    assert line.startswith("public.product is to be changed, and waits for process ")
    assert f"{report.info.backend_pid} (application 'report', query of 20" in line
    assert counts.inserted == (2 if mode == "append" else 1)
    assert rows(database, "select count(colour) from product") == [(2,)]


CHANGES = {
    "a column": ("select from product", ("--key", "id", "--mode", "snapshot", "--skip-search")),
    "a search column": ("select from product", ("--key", "id")),
    "the triggers of an embedding": ("delete from product", ("--key", "id", "--skip-search")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_load_gives_up(
    cli: Cli, lake: Lake, database: Database, report: Connection, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K15: after `load.lock_wait` seconds one line names the process, its application and since when."""
    lake.put("2026-01-01", "product", [row | {"text": "waterproof jackets for cold and rainy days"} for row in OLDER])
    load(cli, lake.url, "--key", "id", "--skip-search")
    if change == "a column":
        later(lake)
    statement, options = CHANGES[change]
    skip = () if change == "the triggers of an embedding" else ("--skip-embeddings",)
    report.execute(statement.encode())
    monkeypatch.setenv("PGPIPE_LOAD__LOCK_WAIT", "0")

    line = fails(
        cli("load", "--source", lake.url, *options, *skip, "--json"), 1, "product: public.product cannot be changed"
    )

    assert f"process {report.info.backend_pid} (application 'report', query of 20" in line
    assert "load.lock_wait" in line
    with database.connect() as conn:
        assert one(conn, "select count(*) from pg_locks where locktype = 'relation' and not granted") == 0
