"""What the chaos tests of the loader share: a lake whose states can be told apart, and loads watched from outside."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pgpipe.db import Connection, Database
from tests.bench.machine import Peak
from tests.fixtures.servers import Server

OLDER, NEWER = "2026-01-01", "2026-01-02"
OPTIONS = ("--entity", "item", "--skip-search", "--skip-embeddings", "--jobs", "2")
MODES = {
    "first load": ("--mode", "snapshot", "--key", "id"),
    "merge": ("--mode", "snapshot", "--key", "id"),
    "append": ("--mode", "append"),
}
MEMORY = 600 << 20  # what a load of these lakes may take at its peak, whatever its files claim
FILES, ROWS = 4, 10_000

State = tuple[int, int] | None  # rows, and a sum over their contents; None without a table


def items(first: int, rows: int, word: str) -> pa.Table:
    """Rows with the ids from `first` on."""
    ids = range(first, first + rows)
    return pa.table({"id": ids, "file": [first // ROWS] * rows, "text": [f"{word} {n} {'x' * (n % 90)}" for n in ids]})


def build(folder: Path) -> str:
    """Two dates: in the newer one half of the files are changed, and one is new. Returns the url of the source."""
    for date, files, word in ((OLDER, FILES, "old"), (NEWER, FILES + 1, "new")):
        to = folder / date / "item"
        to.mkdir(parents=True)
        for n in range(files):
            rows = items(n * ROWS, ROWS, word if n % 2 else "same")
            pq.write_table(rows, to / f"part-{n}.parquet", row_group_size=ROWS // 2)
    return f"file://{folder}"


def state(conn: Connection) -> State:
    """What the target holds."""
    if conn.execute("select to_regclass('public.item')").fetchone() == (None,):
        return None
    rows, contents = conn.execute("select count(*), coalesce(sum(hashtext(i::text)), 0) from item i").fetchone() or (
        0,
        0,
    )
    return int(rows), int(contents)


def agrees(conn: Connection, mode: str) -> bool:
    """Whether the target holds as many rows as the ledger says, and of appended files each whole."""
    if state(conn) is None:
        return conn.execute("select count(*) from pgpipe.load_file").fetchone() == (0,)
    if (
        conn.execute("select sum(read) from pgpipe.load_file").fetchone()
        != conn.execute("select count(*) from item").fetchone()
    ):
        return False
    files = conn.execute("select count(*) from item group by file, split_part(text, ' ', 1)").fetchall()
    return mode != "append" or all(rows % ROWS == 0 for (rows,) in files)


@dataclass(frozen=True)
class Ended:
    """How a load that ran as a process of its own ended."""

    code: int
    said: str


class Load:
    """A load as a process of its own, which must keep its memory bounded, whatever happens to it."""

    def __init__(self, database: Database, url: str, *options: str, program: Sequence[str] = ("-m", "pgpipe")) -> None:
        command = [sys.executable, "-W", "ignore", *program, "load", "--source", url, *OPTIONS, *options]
        environment = os.environ | {"DATABASE_URL": database.url}
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self._peak = Peak(self.process.pid)

    def end(self) -> Ended:
        """Wait for its end."""
        said = self.process.communicate()[1].decode()
        assert 0 < self._peak.read() < MEMORY
        return Ended(self.process.returncode, said)

    def kill(self) -> None:
        """As kill -9 does."""
        self.process.kill()
        self.end()


def run(database: Database, url: str, *options: str) -> Ended:
    """A load as a process of its own, to its end."""
    return Load(database, url, *options).end()


def restart(fragile: Server, mode: str) -> None:
    """As an administrator restarts a server, or an upgrade of a package does."""
    data = fragile.folder
    program = Path((data / "postmaster.opts").read_text().split()[0].strip('"')).with_name("pg_ctl")
    as_owner = ["setpriv", f"--reuid={data.stat().st_uid}", "--clear-groups"] if os.geteuid() == 0 else []
    # By its working folder: the server's user may be unable to reach the data by a path.
    command = [*as_owner, program, "restart", "-w", "-D", ".", "-m", mode, "-l", "log"]
    subprocess.run(list(map(str, command)), check=True, cwd=data, stdout=subprocess.DEVNULL)


def await_begin(conn: Connection, load: Load, loads: int) -> None:
    """Until the load has written down that it began, or has ended."""
    while load.process.poll() is None:
        if (conn.execute("select count(*) from pgpipe.load").fetchone() or (0,))[0] > loads:
            return
        time.sleep(0.002)
