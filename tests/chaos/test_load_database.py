"""The database fails under a load: a backend ended, the server crashed, the disk full. It comes right by itself."""

import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pgpipe.db import Connection, Database
from tests.chaos.support import MODES, NEWER, OLDER, Load, agrees, build, restart, run, state
from tests.conftest import Server, clone, start_wheel
from tests.fixtures.examples import one_in

BACKENDS = "select pid from pg_stat_activity where datname = current_database() and state = 'active'"
COPYING = f"{BACKENDS} and query ilike 'copy %'"
MERGING = f"{BACKENDS} and query like '%pgpipe_internal.merge%' and wait_event_type = 'Lock'"
LIMIT = 60  # seconds that a fault is waited for


@contextmanager
def once(database: Database, query: str, hit: Callable[[Connection, int], object]) -> Iterator[list[int]]:
    """Do something to the first backend that a query finds; yields the list that its pid is put on."""
    found: list[int] = []
    done = threading.Event()

    def watch() -> None:
        with database.connect(autocommit=True) as conn:
            until = time.monotonic() + LIMIT
            while not (found or done.is_set()) and time.monotonic() < until:
                for (pid,) in conn.execute(query.encode()).fetchmany(1):
                    found.append(pid)
                    hit(conn, pid)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("mode", one_in(3, MODES))
def test_a_backend_that_is_ended_mid_copy(mode: str, database: Database, tmp_path: Path) -> None:
    """The load is begun again by itself; what comes of it is what an undisturbed load brings."""
    url = build(tmp_path / "lake")
    day = OLDER if mode == "first load" else NEWER
    if mode != "first load":
        assert run(database, url, *MODES[mode], "--date", OLDER).code == 0

    with once(database, COPYING, lambda conn, pid: conn.execute("select pg_terminate_backend(%s)", (pid,))) as ended:
        load = run(database, url, *MODES[mode], "--date", day)

    assert ended
    assert load.code == 0, load.said
    assert "retried" in load.said
    with database.connect(autocommit=True) as conn:
        assert agrees(conn, MODES[mode][1])
        files = {"first load": 4, "merge": 5, "append": 9}[mode]
        assert (state(conn) or (0,))[0] == files * 10_000
        undone = conn.execute("select count(*) from pgpipe.load where finished_at is null").fetchone()
    assert undone == (0,)


@pytest.fixture
def fragile() -> Iterator[Server]:
    """A server of the test's own, which it may crash."""
    yield from start_wheel(18)


@pytest.fixture
def fragile_database(fragile: Server) -> Iterator[Database]:
    """A migrated database on it."""
    yield from clone(fragile)


def crash(_fragile: Server, pid: int) -> None:
    """A backend that is killed takes all others along; the server recovers."""
    os.kill(pid, signal.SIGKILL)


FAULTS: dict[str, Callable[[Server, int], None]] = {
    "crash": crash,
    "fast restart": lambda server, _pid: restart(server, "fast"),
    "immediate restart": lambda server, _pid: restart(server, "immediate"),
}


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, marks=() if fault == "crash" else pytest.mark.long) for fault in FAULTS]
)
def test_a_server_that_goes_away_mid_merge(
    fault: str, fragile: Server, fragile_database: Database, tmp_path: Path
) -> None:
    """It comes back, and the load with it: rows, ledger and the staging table that a crash empties."""
    url = build(tmp_path / "lake")
    assert run(fragile_database, url, *MODES["merge"], "--date", OLDER).code == 0
    writer = fragile_database.connect()  # the merge waits for it half-way, and the fault ends both
    writer.execute("select from item where id = 35000 for update")

    with once(fragile_database, MERGING, lambda _conn, pid: FAULTS[fault](fragile, pid)) as lost:
        load = run(fragile_database, url, *MODES["merge"], "--date", NEWER)

    writer.close()
    assert lost
    assert load.code == 0, load.said
    assert "retried" in load.said
    with fragile_database.connect(autocommit=True) as conn:
        assert agrees(conn, "snapshot")
        assert conn.execute("select count(*) from item where text like 'new %'").fetchone() == (20_000,)
        assert conn.execute("select count(*) from item").fetchone() == (50_000,)


def may_mount() -> bool:
    """Whether this process has CAP_SYS_ADMIN; root of a container may lack it."""
    held = re.search(r"^CapEff:\s*([0-9a-f]+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return held is not None and bool(int(held[1], 16) >> 21 & 1)


@pytest.fixture
def small_disk(server18: Server) -> Iterator[Path]:
    """A disk of 2 MB that the server may write to."""
    if not may_mount():
        pytest.skip("this process may not mount a small disk: it lacks CAP_SYS_ADMIN")
    folder = Path(tempfile.mkdtemp(prefix="pgpipe-small-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        folder.rmdir()
        reason = f"a small disk cannot be mounted: {mounted.stderr.decode().strip()}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    owner = server18.folder.stat().st_uid
    folder.chmod(0o755)
    (folder / "space").mkdir()
    os.chown(folder / "space", owner, -1)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
    folder.rmdir()


@pytest.mark.parametrize("mode", one_in(2, ["merge", "first load"]))
def test_a_full_disk(mode: str, server18: Server, database: Database, small_disk: Path, tmp_path: Path) -> None:
    """The load fails with one line, the target is as it was, and with more room the next run completes."""
    url = build(tmp_path / "lake")
    if mode == "merge":
        assert run(database, url, *MODES[mode], "--date", OLDER).code == 0
    space = f"small_{len(mode)}"
    with database.connect(autocommit=True) as conn:
        before = state(conn)
        conn.execute(f"create tablespace {space} location '{small_disk}/space'".encode())
        name = (conn.execute("select current_database()").fetchone() or ("",))[0]
        conn.execute(f"alter database {name} set default_tablespace = {space}".encode())
    try:
        full = run(database, url, *MODES[mode], "--date", NEWER)
        with database.connect(autocommit=True) as conn:
            after, agreed = state(conn), agrees(conn, "snapshot")
        subprocess.run(["mount", "-o", "remount,size=300m", small_disk], check=True)
        again = run(database, url, *MODES[mode], "--date", NEWER)
        with database.connect(autocommit=True) as conn:
            done = state(conn)
    finally:
        with database.connect(autocommit=True) as conn:
            conn.execute('drop table if exists item cascade; drop table if exists pgpipe_staging."public.item"')
            conn.execute(f"alter database {name} reset default_tablespace".encode())
        server18.execute(f"drop tablespace {space}".encode())

    assert full.code == 1
    assert "No space left on device" in full.said
    assert "Traceback" not in full.said
    assert (after, agreed) == (before, True)
    assert again.code == 0, again.said
    assert done is not None
    assert done[0] == 50_000


CONFLICTS = [
    ("deadlock", "snapshot"),
    ("repeatable read", "snapshot"),
    ("same key", "snapshot"),
    ("same key", "upsert"),
]


@pytest.mark.parametrize(("conflict", "mode"), one_in(2, CONFLICTS))
def test_another_writer_in_the_way(conflict: str, mode: str, database: Database, tmp_path: Path) -> None:
    """K16: a deadlock, or a key that an application inserts too, costs a second merge; an isolation level nothing."""
    for date, ids, word in ((OLDER, [1, 2, 3], "old"), (NEWER, [2, 3, 4], "new")):
        (tmp_path / date / "item").mkdir(parents=True)
        pq.write_table(pa.table({"id": ids, "text": [word] * len(ids)}), tmp_path / date / "item" / "a.parquet")
    url = f"file://{tmp_path}"
    options = ("--mode", mode, "--key", "id")
    assert run(database, url, *options, "--date", OLDER).code == 0
    with database.connect(autocommit=True) as conn, database.connect() as other:
        name = (conn.execute("select current_database()").fetchone() or ("",))[0]
        # Only who waits for so long looks for a deadlock, and is the one that ends: the load, not the other.
        deadlock, isolation = "deadlock_timeout = '5s'", "default_transaction_isolation = 'repeatable read'"
        setting = isolation if conflict == "repeatable read" else deadlock
        conn.execute(f"alter database {name} set {setting}".encode())
        other.execute("set deadlock_timeout = '10min'")
        same_key = conflict == "same key"
        other.execute(b"insert into item values (4, 'theirs')" if same_key else b"update item set id = id where id = 3")
        load = Load(database, url, *options, "--date", NEWER)
        while not conn.execute(MERGING.encode()).fetchall():  # it has deleted 1 and waits for 3, or for 4
            assert load.process.poll() is None, load.end()
            time.sleep(0.005)
        staged = conn.execute("select count(*) from pg_class where relname = 'public.item'").fetchone()
        if conflict == "deadlock":
            other.execute("update item set text = 'theirs' where id = 1")
        other.commit()
        ended = load.end()

        assert ended.code == 0, ended.said
        why = {"deadlock": "deadlock detected", "same key": "item_pkey"}.get(conflict)  # a load pins read committed
        retries = [line for line in ended.said.splitlines() if "retried" in line]
        assert len(retries) == bool(why)  # the rows stay staged
        assert all("the merge of item is retried: " in line and why and why in line for line in retries)
        kept = [] if mode == "snapshot" else [(1, "old")]
        expected = [*kept, (2, "new"), (3, "new"), (4, "new")]
        assert staged == (1,)
        assert conn.execute("select id, text from item order by id").fetchall() == expected
        assert conn.execute("select count(*) from pgpipe.load_file").fetchone() == (1 + len(kept),)
