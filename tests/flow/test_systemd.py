"""The systemd units, judged by systemd itself; and an embedder's process that speaks the notification protocol."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pgpipe.db import Connection, Database
from tests.chaos.embedders import install
from tests.conftest import Cli
from tests.sql.support import make_docs, value

FILES = ["pgpipe-embedder@.service", "pgpipe-load.service", "pgpipe-load.timer", "pgpipe-notify@.service"]
MODEL = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture
def analyze(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `systemd-analyze`."""
    if shutil.which("systemd-analyze") is None:
        if os.environ.get("CI"):
            pytest.fail("CI installs systemd (Debian); systemd-analyze is missing")
        pytest.skip("Debian's systemd is not installed")
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path), "SYSTEMD_LOG_LEVEL": "warning"}

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = ["systemd-analyze", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    return run


@pytest.mark.parametrize("scope", ["system", "user"])
def test_systemd_accepts_the_units(scope: str, cli: Cli, analyze, tmp_path: Path) -> None:
    """Installed as they are printed: no unknown name, no value that systemd does not take, in either manager."""
    result = cli("systemd", f"--{scope}", "--gpu", "--install", "--folder", str(tmp_path / "units"))
    assert result.code == 0
    printed = cli("systemd", f"--{scope}", "--gpu", "--folder", str(tmp_path / "units")).out
    for file in FILES:
        assert (tmp_path / "units" / file).read_text() in printed

    verified = analyze(f"--{scope}", "verify", *(tmp_path / "units" / file for file in FILES))

    assert (verified.returncode, verified.stderr) == (0, "")
    assert (tmp_path / "units" / "pgpipe-embedder@.service.d" / "gpu.conf").exists() is (scope == "system")
    assert ("DynamicUser=yes" in printed) is (scope == "system")
    assert f"WantedBy={'multi-user' if scope == 'system' else 'default'}.target" in printed
    for known in ("pgpipe-embedder@", "pgpipe-notify@", "=@system-service", "~@privileged"):
        printed = printed.replace(known, "")
    assert "@" not in printed


def test_systemd_finds_a_fault(analyze, tmp_path: Path) -> None:
    """The check above can fail."""
    (tmp_path / "odd.service").write_text("[Service]\nExecStart=/nonexistent\nWatchdogSecs=1\n")

    assert "Unknown key 'WatchdogSecs'" in analyze("verify", tmp_path / "odd.service").stderr


@pytest.mark.parametrize("file", [*FILES[:2], FILES[3]])
@pytest.mark.parametrize("gpu", [False, True])
def test_exposure(file: str, gpu: bool, cli: Cli, analyze, tmp_path: Path) -> None:
    """At most 2.0 of 10 by systemd's own count, also with a GPU; a service without hardening has 9.6."""
    cli("systemd", "--system", "--install", "--folder", str(tmp_path), *(["--gpu"] if gpu else []))

    judged = analyze("security", "--offline=yes", "--threshold=20", "--no-pager", tmp_path / file)

    assert judged.returncode == 0, judged.stdout
    text = (tmp_path / file).read_text()
    (tmp_path / file).write_text("\n".join(line for line in text.splitlines() if not line.startswith("Protect")))
    assert analyze("security", "--offline=yes", "--threshold=20", "--no-pager", tmp_path / file).returncode == 1


def test_what_the_units_say(cli: Cli) -> None:
    """What the issue of a daemon under systemd turns on."""
    printed = cli("systemd", "--on-calendar", "hourly").out.splitlines()

    for line in (
        "Type=notify",
        "OnFailure=pgpipe-notify@%n.service",
        "RestartPreventExitStatus=78",
        "DynamicUser=yes",
        "LoadCredential=pgpass:%E/pgpipe/pgpass",
        "Environment=PGPASSFILE=%d/pgpass",
        "OnCalendar=hourly",
        f"ExecStart={Path(sys.executable).with_name('pgpipe')} --config %E/pgpipe/pgpipe.toml embedder",
    ):
        assert line in printed
    assert any(line.startswith("WatchdogSec=") for line in printed)


def test_nothing_of_the_users_is_overwritten(cli: Cli, tmp_path: Path) -> None:
    """A unit that was edited stays, unless --force; the same again is no fault."""
    install = ("systemd", "--install", "--folder", str(tmp_path))
    assert cli(*install).code == 0
    assert cli(*install).code == 0
    (tmp_path / FILES[2]).write_text("mine")

    refused = cli(*install, "--on-calendar", "weekly")

    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "is there and differs; --force overwrites it" in refused.err
    assert cli(*install, "--force").code == 0
    assert "OnCalendar" in (tmp_path / FILES[2]).read_text()


SLEEPERS = "select pid from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"


class Manager:
    """systemd's end of the socket, and the embedder's process."""

    def __init__(self, folder: Path, url: str, *, watchdog: float = 1.0, **environment: str) -> None:
        self.started = time.monotonic()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "notify"))
        self.got: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "pgpipe", "embedder"],
            cwd=folder,
            env=os.environ
            | {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": str(int(watchdog * 1e6)), "DATABASE_URL": url}
            | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, wanted: str, seconds: float = 300) -> None:
        """Listen until this arrives."""
        end = time.monotonic() + seconds
        while wanted not in self.got:
            self.listen(0.2)
            assert time.monotonic() < end, (self.got, self.process.poll())
            if self.process.poll() is not None and wanted not in self.got:
                self.listen(0.2)
                assert wanted in self.got, (self.got, self.process.communicate())

    def listen(self, seconds: float) -> list[str]:
        """What arrives within these seconds."""
        end = time.monotonic() + seconds
        new: list[str] = []
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                new.append(self.socket.recv(4096).decode())
            except TimeoutError:
                break
        self.got += new
        return new

    def end(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=300)
        self.listen(0.2)
        return self.process.returncode


@pytest.fixture
def manager(database: Database, tmp_path: Path) -> Iterator[Callable[..., Manager]]:
    """Start an embedder under the eyes of a manager."""
    managers: list[Manager] = []

    def start(url: str = database.url, **options) -> Manager:
        managers.append(Manager(tmp_path, url, **options))
        return managers[-1]

    yield start
    for each in managers:
        each.process.kill()
        each.process.communicate()
        each.socket.close()


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    """Twenty docs."""
    with database.connect(autocommit=True) as conn:
        make_docs(conn, 20)
        yield conn


@pytest.fixture
def docs(conn: Connection) -> Connection:
    """Docs that wait for the real model."""
    conn.execute("select pgpipe.enable_embedding('doc', columns => '{title,body}', model => %s, dims => 384)", (MODEL,))
    return conn


@pytest.fixture
def light(conn: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """Docs that wait for a model which loads at once, and is slow at reading a batch."""
    install(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}")
    monkeypatch.setenv("PGPIPE_EMBEDDING__BACKEND", "chaos")
    monkeypatch.setenv("PGPIPE_EMBEDDING__MODELS", '["chaos"]')
    monkeypatch.setenv("CHAOS_SLOW", "0.2")
    conn.execute("select pgpipe.enable_embedding('doc', '{title,body}', 'chaos', 3)")
    return conn


def wait_for(conn: Connection, query: str) -> None:
    """Until a query is true."""
    end = time.monotonic() + 300
    while not value(conn, query):
        assert time.monotonic() < end, query
        time.sleep(0.1)


@pytest.mark.model
def test_life_under_systemd(docs: Connection, manager: Callable[..., Manager]) -> None:
    """More time is asked for while the model loads, then READY, the watchdog fed, STOPPING at SIGTERM, exit 0."""
    daemon = manager()

    daemon.until("READY=1")
    before = daemon.got[: daemon.got.index("READY=1")]
    assert [m for m in before if m.startswith("EXTEND_TIMEOUT_USEC=")]
    wait_for(docs, "select count(*) = 20 from doc_embedding")
    daemon.got.clear()
    daemon.until("WATCHDOG=1")  # also with nothing to do
    assert not [m for m in daemon.listen(3) if m.startswith("EXTEND")]

    assert daemon.end() == 0
    assert daemon.got[-1] == "STOPPING=1"


def test_the_watchdog_is_fed_by_progress_only(light: Connection, manager: Callable[..., Manager]) -> None:
    """While the embedder hangs, here in a call of the database, nothing feeds the watchdog; later something does."""
    daemon = manager()
    daemon.until("WATCHDOG=1")
    wait_for(light, "select count(*) = 20 from doc_embedding")

    (claim,) = light.execute("select pg_get_functiondef('pgpipe_target.claim_1'::regproc)").fetchone() or ("",)
    light.execute(claim.replace("\nbegin\n", "\nbegin\nperform pg_sleep(3600);\n", 1))
    light.execute("update doc set title = 'another' where id = 1")
    wait_for(light, f"select exists ({SLEEPERS})")  # its next look at the queue
    daemon.listen(0.5)  # what it had said before
    assert daemon.listen(3) == []  # the manager would end it after 1

    daemon.got.clear()
    light.execute(claim)
    light.execute(f"select pg_cancel_backend(pid) from ({SLEEPERS}) sleeper")
    daemon.until("WATCHDOG=1")
    assert daemon.end() == 0


def test_sigterm_in_mid_work(light: Connection, manager: Callable[..., Manager]) -> None:
    """What is in hand is finished or given back: no lease stays, nothing is lost, and it is over soon."""
    light.execute("insert into doc select n, 'title', repeat('word ' || n, 200), n from generate_series(100, 3000) n")
    daemon = manager()
    daemon.until("READY=1")
    wait_for(light, "select exists (select from pgpipe.job where lease_token is not null)")

    assert daemon.end() == 0

    assert value(light, "select count(*) from pgpipe.job where lease_token is not null") == 0
    rows = value(light, "select count(*) from doc")
    assert (
        value(light, "select count(distinct id) from doc_embedding") + value(light, "select count(*) from pgpipe.job")
        == rows
    )
    assert value(light, "select count(*) from pgpipe.job where attempts > 0") == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"PGPIPE_EMBEDDING__BACKEND": "nonsense"},
        {"PGPIPE_EMBEDDING__BATCH": "none"},
        {"PGPIPE_EMBEDDING__METRICS_HOST": "192.0.2.1", "PGPIPE_EMBEDDING__METRICS_PORT": "0"},
        {"PGPIPE_CONFIG": "/nonexistent.toml"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_bad_configuration_is_exit_78(wrong: dict[str, str], manager: Callable[..., Manager]) -> None:
    """One line, and a code that keeps systemd from trying again."""
    daemon = manager(**wrong)

    _, err = daemon.process.communicate(timeout=300)

    assert (daemon.process.returncode, err.count("\n")) == (78, 1), err
    assert "READY=1" not in daemon.listen(0.2)
