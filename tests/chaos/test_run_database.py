"""The database is lost under `pgpipe run`: while it loads, indexes, declares or embeds. It ends well all the same."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pgpipe.db import Database
from tests.chaos.embedders import count, install, until
from tests.fixtures.examples import one_in

ROOT = Path(__file__).parents[2]
ROWS = 200
CONFIG = """
[embedding]
backend = "chaos"
model = "chaos"
[entity.doc]
key = ["id"]
search = { columns = { title = "A", body = "B" } }
embed = { columns = ["title", "body"] }
"""
CUT = """
    select count(pg_terminate_backend(pid)) from pg_stat_activity
     where datname = current_database() and application_name = 'pgpipe' and wait_event_type = 'Lock'
"""
STEPS = {  # what the step must wait for, and what is retried
    "dates": ("pgpipe.load in access exclusive mode", ["the choice of dates"]),
    "import": ("pgpipe.load in share mode", ["the load of doc"]),
    "search": ("pgpipe.search_fill in access exclusive mode", ["the search column of doc"]),
    "declare": ("pgpipe.embedding in access exclusive mode", ["the embedding of doc"]),
    "finish": ("doc_embedding in share row exclusive mode", []),  # the worker stores the batch over another connection
    "sweep": ("pgpipe.reconciliation in access exclusive mode", ["the embedding of doc"]),
}


def pgpipe(folder: Path, database: Database, *arguments: str) -> subprocess.Popen[str]:
    """A command in a folder with the configuration above."""
    environment = os.environ | {"DATABASE_URL": database.url, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-W", "ignore", "-m", "pgpipe", *arguments, "--source", f"file://{folder}/lake"]
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@pytest.mark.parametrize("step", one_in(2, STEPS))
def test_a_step_whose_connection_is_lost(step: str, database: Database, tmp_path: Path) -> None:
    """That step is begun again, or only its call, and the run ends well with every vector in place."""
    install(tmp_path)
    (tmp_path / "pgpipe.toml").write_text(CONFIG, encoding="utf-8")
    to = tmp_path / "lake" / "2026-01-01" / "doc"
    to.mkdir(parents=True)
    texts = [f"text {n}" for n in range(ROWS)]
    pq.write_table(pa.table({"id": range(ROWS), "title": texts, "body": texts}), to / "a.parquet")
    loaded = pgpipe(tmp_path, database, "load")
    assert (loaded.communicate()[0], loaded.returncode)[1] == 0
    lock, retried = STEPS[step]

    with database.connect() as holder, database.connect(autocommit=True) as conn:
        holder.execute(f"lock table {lock}".encode())
        run = pgpipe(tmp_path, database, "run")
        until(lambda: count(conn, CUT) > 0)
        holder.rollback()
        said = run.communicate()[0]

        assert run.returncode == 0, said
        assert re.findall(r"^pgpipe: (.+) is retried:", said, re.MULTILINE) == retried, said
        assert count(conn, "select count(*) from doc_embedding") == ROWS
        assert count(conn, "select count(*) from pgpipe.job") == 0
