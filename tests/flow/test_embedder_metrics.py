"""`pgpipe embedder --metrics-port`: metrics and health over real HTTP, from a real embedder process."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pgpipe import errors
from pgpipe.db import Database
from pgpipe.embed.daemon import metrics, metrics_server
from pgpipe.embed.daemon.metrics import Exporter
from pgpipe.embed.model.identity import PROBES
from pgpipe.settings.model import DatabaseSettings, EmbeddingSettings
from tests.chaos.embedders import install
from tests.conftest import Cli
from tests.sql.fake_model import Fake, make_worker, refuse
from tests.sql.support import embed, eventually, make_docs, value


def get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=20)


def samples(url: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """Of /metrics, as Prometheus' own parser reads it: value by name and labels' values."""
    families = text_string_to_metric_families(get(f"{url}/metrics").text)
    return {(s.name, tuple(sorted(s.labels.values()))): s.value for f in families for s in f.samples}


@pytest.fixture
def served(database: Database) -> Iterator[Exporter]:
    """An exporter in this process."""
    made = Exporter(database, EmbeddingSettings(metrics_port=0))
    made.start()
    yield made
    made.stop()


def test_a_whole_life(database: Database, tmp_path: Path) -> None:
    """Not ready while it loads, ready after; every count is there; the port is closed when it ends."""
    with database.connect(autocommit=True) as conn:
        make_docs(conn, 20)
        conn.execute("select pgpipe.enable_embedding('doc', '{title,body}', 'chaos', 3)")
        install(tmp_path)
        process = subprocess.Popen(
            [sys.executable, "-m", "pgpipe", "embedder", "--backend", "chaos", "--metrics-port", "0"],
            env=os.environ
            | {
                "DATABASE_URL": database.url,
                "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}",
                "PGPIPE_EMBEDDING__MODELS": '["chaos"]',
            },
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stderr
            line = next(line for line in process.stderr if "metrics on" in line)
            reader = Thread(target=process.stderr.read)
            reader.start()
            url = re.search(r"http://127\.0\.0\.1:\d+", line)[0]  # type: ignore[index]
            assert get(f"{url}/healthz").status_code == 200
            until = time.monotonic() + 300
            while value(conn, "select count(*) < 20 from doc_embedding") and time.monotonic() < until:
                time.sleep(0.1)
            while get(f"{url}/readyz").status_code != 200 and time.monotonic() < until:
                time.sleep(0.1)
            found = samples(url)
            while not found.get(("pgpipe_embedded_rows_total", ("doc", "public"))) and time.monotonic() < until:
                time.sleep(0.1)  # counted just after it was committed
                found = samples(url)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(300)
            reader.join()
            process.stderr.close()
    assert found["pgpipe_embedded_rows_total", ("doc", "public")] == 20
    assert found["pgpipe_jobs", ("default", "doc", "public", "waiting")] == 0
    assert found["pgpipe_jobs", ("dead", "default", "doc", "public")] == 0
    assert found["pgpipe_coverage_ratio", ("default", "doc", "public")] == 1
    assert found["pgpipe_oldest_job_age_seconds", ("default", "doc", "public")] == 0
    assert found["pgpipe_finished_jobs_per_second", ("default", "doc", "public")] == pytest.approx(20 / 300)
    assert found["pgpipe_model_texts_total", ("chaos",)] == 20 + len(PROBES)
    assert found["pgpipe_model_seconds_sum", ("chaos",)] > 0
    assert found["pgpipe_batch_seconds_count", ("doc", "public")] >= 1
    assert found["pgpipe_up", ()] == 1
    assert found["pgpipe_stale_jobs_total", ()] == found["pgpipe_failed_jobs_total", ()] == 0
    with pytest.raises(httpx.ConnectError):
        get(url + "/healthz")


def test_counts_of_a_worker(database: Database, served: Exporter) -> None:
    """What failed is counted as it happens."""
    with database.connect(autocommit=True) as conn:
        make_docs(conn, 5)
        conn.execute("update doc set body = 'poison' where id = 2")
        embed(conn)
    worker = make_worker(database, Fake(refuse("poison")))
    served.watch(worker.totals)
    assert samples(served.url)["pgpipe_failed_jobs_total", ()] == 0

    worker.drain()

    found = samples(served.url)
    assert found["pgpipe_failed_jobs_total", ()] == 1
    assert found["pgpipe_embedded_rows_total", ("doc", "public")] == 4
    assert found["pgpipe_coverage_ratio", ("default", "doc", "public")] == 0.8


def test_loopback_by_default(served: Exporter) -> None:
    """Nobody outside of the machine sees it unless asked for; other paths are none."""
    assert served.url.startswith("http://127.0.0.1:")
    assert get(f"{served.url}/").status_code == 404
    assert "/healthz" in get(f"{served.url}/").text


def test_health_is_progress(served: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedder that hangs is not well, though it answers."""
    monkeypatch.setattr(metrics, "SILENCE", 0.05)
    time.sleep(0.1)
    sick = get(f"{served.url}/healthz")
    assert (sick.status_code, sick.text[:15]) == (503, "no progress for")

    monkeypatch.setattr(metrics, "SILENCE", 60)
    served.beat()
    assert get(f"{served.url}/healthz").status_code == 200


def test_readiness_needs_the_database() -> None:
    """Loaded models are not enough; the metrics that need no database are there all the same."""
    made = Exporter(Database(DatabaseSettings(url="postgresql://127.0.0.1:1/x")), EmbeddingSettings())
    made.start()
    try:
        assert get(f"{made.url}/readyz").text == "loading models\n"
        made.ready()
        unready = get(f"{made.url}/readyz")
        assert (unready.status_code, "does not answer" in unready.text) == (503, True)
        assert samples(made.url)["pgpipe_up", ()] == 0
    finally:
        made.stop()


def test_a_port_that_is_taken(database: Database, cli: Cli) -> None:
    """One line that names it, and the exit code of a wrong setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(errors.UsageError, match=f"127.0.0.1:{port}"):
            Exporter(database, EmbeddingSettings(metrics_port=port)).start()
        result = cli("embedder", "--drain", "--metrics-port", str(port))
    assert (result.code, result.err.count("\n")) == (2, 1)


def test_silent_clients_and_many_scrapes(served: Exporter, database: Database) -> None:
    """K9: 300 silent connections and 60 scrapes at once take neither threads nor database connections."""
    ours = """select count(*) from pg_stat_activity where application_name = 'pgpipe' and pid <> pg_backend_pid()
                 and datname = current_database()"""
    before = len(threading.enumerate())
    most, done = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.001):
            most = max(most, value(conn, ours))

    watcher = Thread(target=watch)
    with database.connect(autocommit=True) as conn, contextlib.ExitStack() as silent, ThreadPoolExecutor(60) as pool:
        for _ in range(300):
            silent.enter_context(socket.create_connection(("127.0.0.1", int(served.url.rsplit(":", 1)[1]))))
        assert len(threading.enumerate()) <= before + 2
        assert get(f"{served.url}/healthz").status_code == 200
        watcher.start()
        answers = list(pool.map(get, [f"{served.url}/metrics"] * 60))
        done.set()
        watcher.join()
        served_by = [t for t in threading.enumerate() if t.name.startswith("metrics")]

    assert {a.status_code for a in answers} == {200}
    assert all("pgpipe_up 1.0" in a.text for a in answers)
    assert 1 <= most <= 2, most
    assert len(served_by) <= 3


def test_a_client_that_does_not_ask_is_closed(served: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    """K9: silent, slow and endless requests are cut off by a deadline for the whole request, and by its size."""
    monkeypatch.setattr(metrics_server, "PATIENCE", 0.2)
    address = ("127.0.0.1", int(served.url.rsplit(":", 1)[1]))
    with socket.create_connection(address, 20) as silent, socket.create_connection(address, 20) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert (silent.recv(1), slow.recv(1)) == (b"", b"")
    with socket.create_connection(address, 20) as endless, contextlib.suppress(OSError):
        endless.sendall(b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 1_000_000)
        assert endless.recv(1) == b""
    assert get(f"{served.url}/healthz").status_code == 200


def test_requests_that_are_none(served: Exporter) -> None:
    """K9: whatever is sent, an answer or an end comes, and the connection is given back."""
    address = ("127.0.0.1", int(served.url.rsplit(":", 1)[1]))
    host = b"\r\nHost: localhost\r\n\r\n"
    for request, status in {
        b"GET //[ HTTP/1.1" + host: b"400", b"GET /metrics" + host: b"400", b"\xff / HTTP/1.1" + host: b"400",
        b"GET / HTTP/1.1\r\n\r\n": b"421", b"GET / HTTP/1.0\r\n\r\n": b"421",
        b"GET / HTTP/1.1\r\nHost: localhost" + host: b"421", b"GET http://evil/metrics HTTP/1.1" + host: b"404",
        b"GET /healthz HTTP/1.1\r\n" + b"a: b\r\n" * 200 + host[2:]: b"400", b"\r\n\r\n": b"400",
        b"POST /healthz HTTP/1.1" + host + b"body": b"405", (b"GET /healthz HTTP/1.1" + host) * 2: b"200",
    }.items():  # fmt: skip
        with socket.create_connection(address, 20) as client:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100).split(b" ")[1:2] == [status], request
    with socket.create_connection(address, 20) as client:
        client.sendall(b"GET / HTT")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert served._server
    eventually(lambda: not served._server._open)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:1", 200), ("127.0.0.1", 200), ("[::1]:9464", 200), ("10.0.0.7:9464", 200),
        ("embedder.example.com:9464", 200), ("EMBEDDER.example.com", 200), ("evil.example.com", 421),
        ("localhost.evil.example.com", 421), ("127.0.0.1.evil.example.com", 421), ("[::1", 421), ("", 421),
    ],
)  # fmt: skip
def test_a_host_that_is_not_ours(host: str, status: int) -> None:
    """K9: a web page whose name was made to resolve to this machine (DNS rebinding) reads nothing."""
    nowhere = Database(DatabaseSettings(url="postgresql://127.0.0.1:1/x"))
    made = Exporter(nowhere, EmbeddingSettings(metrics_hostnames=("embedder.example.com",)))
    made.start()
    try:
        assert httpx.get(f"{made.url}/healthz", headers={"Host": host}).status_code == status
    finally:
        made.stop()
