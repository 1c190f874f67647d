"""kill -9 of a load: the target is the old state or the new one, and the next run completes."""

import os
import subprocess
import sys
import time

import pytest

from pgpipe.db import Connection, Database
from tests.conftest import Cli, DocsLake

OPTIONS = ("--key", "name", "--mode", "snapshot", "--skip-embeddings", "--entity", "function")


def summaries(conn: Connection) -> dict[str, str] | None:
    """What the target holds; None where it does not exist."""
    if conn.execute("select to_regclass('public.function')").fetchone() == (None,):
        return None
    return dict(conn.execute("select name, summary from function").fetchall())


@pytest.mark.parametrize("day", ["2026-01-01", "2026-01-02"], ids=["first load", "merge"])
def test_a_killed_load_leaves_the_old_state_or_the_new(
    cli: Cli, database: Database, docs_lake: DocsLake, day: str
) -> None:
    """At five moments of a load; then it is run to its end, and what it was killed over is not doubled."""
    source = ("load", "--source", docs_lake.url, *OPTIONS)
    if day == "2026-01-02":
        assert cli(*source, "--date", "2026-01-01").code == 0
    with database.connect(autocommit=True) as conn:
        states = [summaries(conn)]
        for moment in (0.5, 0.6, 0.7, 0.8, 0.9):
            command = [sys.executable, "-W", "ignore", "-m", "pgpipe", *source, "--date", day]
            load = subprocess.Popen(command, env=os.environ | {"DATABASE_URL": database.url}, stderr=subprocess.DEVNULL)
            time.sleep(moment)
            load.kill()
            load.wait()
            states.append(summaries(conn))
        assert cli(*source, "--date", day).code == 0
        done = summaries(conn)

        assert done is not None
        assert all(state in (states[0], done) for state in states)
        ledger = conn.execute("select sum(read) from pgpipe.load_file where entity = 'function'").fetchone()
        assert ledger == (len(done),)
