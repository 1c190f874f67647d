"""Waiting for a date: until its gate is met, until it is there, in vain, and ended by a signal."""

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

import pgpipe
from pgpipe.db import Database
from pgpipe.load.rhythm import is_next_due
from pgpipe.settings.sources import load_settings
from tests.conftest import Cli, Lake
from tests.flow.support import fails, load, rows

DAYS = [f"2026-01-0{day}" for day in range(1, 6)]
ROWS = [{"id": 1, "text": "x"}]
RECENTLY = "update pgpipe.load set finished_at = now() - interval '{} hours'"


def test_a_load_waits_until_its_date_is_complete(lake: Lake, database: Database) -> None:
    """Issue 13: it polls, says what it waits for, and loads as soon as the gate is met."""
    lake.put(DAYS[0], "product", ROWS)
    source = {"source": {"url": lake.url, "complete": "_SUCCESS"}}
    said: list[str] = []

    def tell(line: str) -> None:
        said.append(line)
        (lake.path / DAYS[0] / "_SUCCESS").touch()

    importer = [pgpipe.ParquetImporter()]
    pipeline = pgpipe.Pipeline(load_settings(options=source), importer, database, tell=tell)

    assert pipeline.wait(timedelta(hours=1)) == ""
    assert pipeline.run().exit_code == 0
    assert rows(database, "select count(*) from product") == [(1,)]
    assert len(said) == 1
    assert f"{DAYS[0]} is not complete: source.complete is '_SUCCESS'" in said[0]


def test_waiting_in_vain(cli: Cli, lake: Lake, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 13: when the time is up, what is complete is loaded, a line says what is not, and the exit code is 3."""
    monkeypatch.setenv("PGPIPE_SOURCE__COMPLETE", "_SUCCESS")
    for day in DAYS[:4]:
        file = lake.put(day, "product", ROWS)
        if day != DAYS[3]:
            (file.parent.parent / "_SUCCESS").touch()
    options = ("--source", lake.url, "--key", "id", "--skip-embeddings", "--since", DAYS[0], "--wait", "1s")

    result = cli("load", *options)

    assert result.code == 3
    assert f"waited for 0:00:01 in vain: {DAYS[3]} is not complete" in result.err.splitlines()[-1]
    assert rows(database, "select max(date)::text from pgpipe.load_file") == [(DAYS[2],)]

    fails(cli("load", "--source", lake.url, "--date", f"{DAYS[0]}..", "--wait", "1h"), 2, "not for a range")
    fails(cli("load", "--wait", "soon"), 2, "'soon' is not a time such as 4h")


@pytest.mark.long
def test_a_date_that_is_due_is_waited_for(cli: Cli, lake: Lake, database: Database) -> None:
    """Issue 13: a date without a folder is waited for if the newest one came long enough ago, and not otherwise."""
    for day in DAYS[:4]:
        lake.put(day, "product", ROWS)
    options = ("--source", lake.url, "--key", "id", "--skip-embeddings", "--wait", "1s")
    load(cli, lake.url, "--key", "id", "--since", DAYS[0])
    load(cli, lake.url, "--key", "id", "--wait", "1h")
    with database.connect(autocommit=True) as conn:
        conn.execute(RECENTLY.format(23).encode())
    assert f"no date of product after {DAYS[3]} is there, and the next one is due" in cli("load", *options).err


@pytest.mark.parametrize(
    ("hours", "every", "due"), [(1, 24, False), (23, 24, True), (120, 168, False), (160, 168, True), (5, 8, True)]
)
def test_when_the_next_date_is_due(hours: int, every: int, due: bool) -> None:
    """Issue 13: a weekly source is not waited for on six mornings, and a date that has come is not waited for again."""
    assert is_next_due(timedelta(hours=hours), timedelta(hours=every)) is due
    assert not is_next_due(timedelta(hours=hours), None)


@pytest.mark.long
def test_a_signal_ends_the_waiting(lake: Lake, database: Database, tmp_path: Path) -> None:
    """Issue 13: SIGTERM ends it at once."""
    lake.put(DAYS[0], "product", ROWS)
    config = tmp_path / "pgpipe.toml"
    config.write_text(f'[source]\nurl = "{lake.url}"\ncomplete = "_SUCCESS"\n[database]\nurl = "{database.url}"\n')
    command = [sys.executable, "-m", "pgpipe", "--config", str(config), "load", "--wait", "1h"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "is not complete" in next(line for line in process.stderr if "waiting until" in line)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == -signal.SIGTERM
