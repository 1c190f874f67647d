"""Notices of a load's end: to a command, and to an address. One that does not arrive is a warning and no more."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import pgpipe.notify
from pgpipe.cli.notify import notice_of
from pgpipe.notify import LONGEST, Notice, notify
from pgpipe.settings.notify import NotifySettings
from tests.conftest import Cli, Lake

ROWS = [{"id": n, "text": f"row {n}"} for n in range(3)]
SECRET = "sesame-open"
KEEP = "import os, sys; open('got', 'a').write(os.environ['REPORT_EVENT'] + ' ' + sys.stdin.read() + chr(10))"


class Hook(ThreadingHTTPServer):
    """Takes reports; `answers` come first, one a request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[int] = []
        self.got: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.open = threading.Event()
        self.open.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook/{SECRET}?token={SECRET}"


class Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((dict(self.headers), body))
        self.server.open.wait(60)
        code = self.server.answers.pop(0) if self.server.answers else 204
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.open.set()
        server.shutdown()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgpipe.notify, "PAUSE", 0.0)


def program(folder: Path, text: str) -> str:
    """A command with quotes and blanks in it."""
    script = folder / "a b'c.py"
    script.write_text(text)
    return f'{sys.executable} "{script}" "x y"'


def configure(folder: Path, **settings: object) -> None:
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    (folder / "pgpipe.toml").write_text("\n".join(["[notify]", *lines]))


def test_failures_gates_and_successes(cli: Cli, lake: Lake, tmp_path: Path, hook: Hook) -> None:
    """Issue 13: a night that fails, or that a gate refuses, is said to a command and an address; success on request."""
    configure(tmp_path, command=program(tmp_path, KEEP), url=hook.url)
    lake.put("2026-01-01", "product", ROWS)
    load = ("load", "--source", lake.url, "--key", "id", "--mode", "snapshot", "--skip-search", "--skip-embeddings")
    assert cli(*load).code == 0
    assert hook.got == []
    lake.put("2026-01-02", "product", [{"id": 99, "text": "x"}])
    lake.put("2026-01-03", "product", [*ROWS, ROWS[0]])

    gate = cli(*load, "--date", "2026-01-02")
    failure = cli(*load)
    nothing = cli("load", "--source", f"{lake.url}/nowhere")
    database = cli("--database", "postgresql://127.0.0.1:1/x", *load)
    configure(tmp_path, url=hook.url, on=["success"])
    cli(*load, "--date", "2026-01-01")

    ended = (gate, failure, nothing, database)
    assert [result.code for result in ended] == [1, 1, 3, 3]
    assert all(result.err.count("\n") == 1 for result in ended), ended
    bodies = [body for _, body in hook.got]
    events = [body["event"] for body in bodies]
    assert events == ["gate", "failure", "failure", "failure", "success"]
    assert [body["exit_code"] for body in bodies] == [1, 1, 3, 3, 0]
    assert "max_deleted" in bodies[0]["dates"][0]["stages"][0]["note"]
    assert "is not unique" in bodies[1]["text"]
    assert (bodies[2]["dates"], "nowhere" in bodies[2]["error"]) == ([], True)
    kept = [line.partition(" ") for line in (tmp_path / "got").read_text().splitlines()]
    assert [event for event, _, _ in kept] == events[:-1]
    assert [json.loads(body) for _, _, body in kept] == bodies[:-1]


def test_a_notice_that_fails_is_one_warning(cli: Cli, lake: Lake, tmp_path: Path, hook: Hook) -> None:
    """Issue 13: it never changes the exit code of a load, and what it says holds no secret."""
    configure(tmp_path, url=hook.url, on=["success", "failure"])
    hook.answers = [500] * 3
    lake.put("2026-01-01", "product", ROWS)

    result = cli("load", "--source", lake.url, "--key", "id", "--skip-search", "--skip-embeddings")

    assert (result.code, result.err) == (
        0,
        "pgpipe: warning: notify.url (127.0.0.1) was not notified: it answered with HTTP 500\n",
    )
    assert len(hook.got) == 3
    shown = cli("config", "show").out + cli("config", "show", "--json").out
    assert SECRET not in shown + result.out + result.err
    assert "notify.url" in shown


def test_a_try(cli: Cli, tmp_path: Path, hook: Hook) -> None:
    """`pgpipe notify --test` says whether it arrives; a unit's notice is sent if its program could not."""
    refused = cli("notify", "--test")
    configure(tmp_path, url=hook.url)
    done = cli("notify", "--test")
    hook.answers = [404]
    failed = cli("notify", "--test")
    unit = cli("notify", "--unit", "pgpipe-embedder@1.service")

    assert (refused.code, done.code, failed.code, unit.code) == (2, 0, 1, 0)
    assert "it answered with HTTP 404" in failed.err
    assert [body["event"] for _, body in hook.got] == ["test", "test", "failure"]
    assert hook.got[-1][1]["unit"] == "pgpipe-embedder@1.service"


@pytest.mark.parametrize(("result", "sent"), [("exit-code", 0), ("oom-kill", 1), ("signal", 1), ("watchdog", 1)])
def test_a_load_that_was_killed(
    cli: Cli, tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch, result: str, sent: int
) -> None:
    """Issue 13: systemd says what the load could not; what it said itself is not said twice."""
    configure(tmp_path, url=hook.url)
    monkeypatch.setenv("MONITOR_SERVICE_RESULT", result)

    assert cli("notify", "--unit", "pgpipe-load.service").code == 0

    assert len(hook.got) == sent


@pytest.mark.parametrize(
    ("answers", "requests", "said"),
    [([302], 1, "HTTP 302; it redirects"), ([500, 429], 3, None), ([503] * 3, 3, "HTTP 503"), ([401], 1, "HTTP 401")],
)
def test_answers(hook: Hook, answers: list[int], requests: int, said: str | None) -> None:
    """Few tries, and no redirect is followed: the POST would arrive as a GET without a body."""
    hook.answers = list(answers)

    problems = notify(NotifySettings(url=hook.url), Notice("failure", "x", 1))

    assert len(hook.got) == requests
    assert (problems == []) if said is None else (said in problems[0] and SECRET not in problems[0])


def test_a_slow_address(hook: Hook) -> None:
    """What does not answer in time is tried three times, and left."""
    hook.open.clear()

    problems = notify(NotifySettings(url=hook.url, timeout=0.2), Notice("failure", "x", 1))

    assert len(problems) == 1
    assert len(hook.got) == 3
    assert "no answer in time" in problems[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys; sys.exit(7)", "it ended with exit code 7"),
        ("import os, time; os.fork(); print('x' * 10_000_000); time.sleep(600)", "it took longer than the 2 s"),
        ("import os, time; os.close(0); time.sleep(0.1)", None),  # does not read what it is sent
    ],
)
def test_commands_that_misbehave(tmp_path: Path, text: str, said: str | None) -> None:
    """One that hangs is ended with what it started, what it prints is not kept, and what it does not read is lost."""
    settings = NotifySettings(command=program(tmp_path, text), timeout=2)

    problems = notify(settings, Notice("failure", "x" * 2 * LONGEST, 1, {"dates": ["y" * 99] * 800}))

    assert problems == [] if said is None else said in problems[0]


def test_no_secret_is_in_a_notice() -> None:
    """A report may quote an address or a connection string: what is secret in it is masked."""
    notice = notice_of("load", [], f"postgresql://me:{SECRET}@host/db cannot be reached", 3)

    assert SECRET not in notice.as_json()
    assert "postgresql://me:***@host" in notice.as_json()


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("command", "mail 'ops", "cannot be split into words: no closing quotation"),
        ("url", f"file:///{SECRET}", "is not an address that begins with https://"),
        ("on", ["always"], "notify.on"),
    ],
)
def test_wrong_settings(cli: Cli, tmp_path: Path, name: str, wrong: object, said: str) -> None:
    """They are refused by name, before a night goes wrong."""
    configure(tmp_path, **{name: wrong})

    result = cli("config", "check")

    assert result.code == 2
    assert said in result.out + result.err
    assert SECRET not in result.out + result.err
