"""What a measurement stands on: a server of its own, processes timed with their CPU, and the machine's name."""

import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import psycopg

from pgpipe.db.embedded import leave_embedded, start_embedded

SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A PostgreSQL that nobody else uses."""

    url: str
    folder: Path  # the server may write here
    bin: Path
    pid: int

    def run(self, *statements: str) -> list[tuple]:
        """Run statements, each its own transaction; the rows of the last, if it has any."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            for statement in statements:
                cursor = conn.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def cpu(self) -> float:
        """Seconds of CPU used by all processes of the server, those that ended included."""
        ticks = sum(_ticks(self.pid))
        for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            ticks += sum(_ticks(int(child))[:2])
        return ticks / TICKS


def _ticks(pid: int) -> tuple[int, ...]:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:  # it has just ended, and its parent counts it
        return (0,)
    return tuple(map(int, fields[11:15]))  # utime, stime, and those of the children that ended


@contextmanager
def server(base: str | None = None) -> Iterator[Server]:
    """PostgreSQL 18 with its usual durability (fsync and WAL as they come), in a folder that goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="pgpipe-bench-", dir=base))
    folder.chmod(0o777)
    url = start_embedded(folder / "data")
    with psycopg.connect(url, autocommit=True) as conn:
        for name, value in SETTINGS.items():
            conn.execute(f"alter system set {name} = '{value}'")
    leave_embedded(folder / "data")
    url = start_embedded(folder / "data")
    executable = Path((folder / "data" / "postmaster.opts").read_text().split()[0].strip('"'))
    pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
    try:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("create database bench")
        yield Server(url.replace("/postgres?", "/bench?"), folder, executable.parent, pid)
    finally:
        leave_embedded(folder / "data")
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Cost:
    """What one run took: seconds of wall and CPU, bytes of memory at the peak."""

    wall: float
    client: float
    server: float
    memory: int


class Peak:
    """The most memory that a process had resident; its rusage would count what its parent had when it was forked."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._bytes = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while True:
            try:
                lines = self._status.read_text().splitlines()
            except OSError:
                return
            found = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
            if not found:  # it has ended
                return
            self._bytes = max(found[0] * 1024, self._bytes)
            time.sleep(0.02)

    def read(self) -> int:
        """Bytes, after it has ended."""
        self._thread.join()
        return self._bytes


def start(clients: Sequence[subprocess.Popen[str]]) -> None:
    """Let all clients that wait for a line begin at once: `communicate` would let each end before the next begins."""
    for client in clients:
        assert client.stdin
        client.stdin.write("go\n")
        client.stdin.flush()


def timed(server: Server, command: Sequence[str], environment: dict[str, str]) -> Cost:
    """Run a command to its end; one that fails ends the measurement with what it said."""
    # An installed package's modules are compiled once, and not in each of its processes.
    whole = os.environ | {"PYTHONDONTWRITEBYTECODE": ""} | environment
    before = server.cpu()
    began = perf_counter()
    process = subprocess.Popen(command, env=whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    peak = Peak(process.pid)
    assert process.stdout
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    wall = perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{said.decode()[-2000:]}")
    return Cost(wall, used.ru_utime + used.ru_stime, server.cpu() - before, peak.read())


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each figure by itself."""
    return Cost(
        *(statistics.median(getattr(c, name) for c in costs) for name in ("wall", "client", "server")),
        memory=max(c.memory for c in costs),
    )


def name() -> str:
    """The machine, in a line."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{os.cpu_count()} cores of {model}, {memory} GB of memory, Python {platform.python_version()}"
