"""Questions over HTTP next to clients of psycopg, on the same table in turns: `make bench-applications` runs it.

Each client is a process with one connection. It asks until the time is over, and says how long each question took.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from pgpipe import tokens
from tests.bench import machine

CLIENTS = 8
TICKS = os.sysconf("SC_CLK_TCK")
# What both kinds of client do around their way to ask.
LOOP = """
import json, socket, sys, time
kind, where, given, seconds, *questions = sys.argv[1:]
{ask}
for question in questions:
    ask(question)
print("ready", flush=True)
sys.stdin.readline()
took, until = [], time.monotonic() + float(seconds)
while (began := time.monotonic()) < until:
    ask(questions[len(took) % len(questions)])
    took.append(round((time.monotonic() - began) * 1e6))
print(json.dumps({{"took": took, "cpu": time.process_time()}}))
"""
PSYCOPG = """
import psycopg
conn = psycopg.connect(where, autocommit=True)
def ask(question):
    conn.execute(given, {"query": question}).fetchall()
"""
# A socket kept open, and no more: what a client of a library costs is not the server's.
HTTP = """
conn = socket.create_connection(("127.0.0.1", int(where)))
def ask(question):
    body = json.dumps({"query": question, "entity": "function", "mode": "text", "k": 10}).encode()
    conn.sendall((f"POST /v1/search HTTP/1.1\\r\\nHost: localhost\\r\\nAuthorization: Bearer {given}\\r\\n"
                  f"Content-Type: application/json\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n").encode() + body)
    got = b""
    while b"\\r\\n\\r\\n" not in got:
        got += conn.recv(65536)
    head, _, rest = got.partition(b"\\r\\n\\r\\n")
    assert head.startswith(b"HTTP/1.1 200"), head + rest
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\\r\\n")[0])
    while len(rest) < length:
        rest += conn.recv(65536)
    assert rest.startswith(b'{"hits": [{"key"'), rest
"""


@contextmanager
def serving(url: str) -> Iterator[tuple[int, int]]:
    """`pgpipe serve --api` as a process of its own: its port, and its process id."""
    environment = os.environ | {"DATABASE_URL": url, "PGPIPE_SERVE__URL": make_conninfo(url, user="pgpipe_api")}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "ignore", "-m", "pgpipe", "serve", "--api", "--port", "0"]
        with subprocess.Popen(
            command, env=environment | {"PYTHONPATH": str(Path.cwd())}, cwd=folder, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            found = re.search(r":(\d+)/", process.stdout.readline())
            assert found, "the server did not start"
            try:
                yield int(found[1]), process.pid
            finally:
                process.terminate()


def asked(kind: str, where: str, given: str, seconds: float, questions: tuple[str, ...]) -> tuple[list[float], float]:
    """Milliseconds of each question of all clients, in order of length, and the seconds of CPU of the clients."""
    code = LOOP.format(ask={"psycopg": PSYCOPG, "http": HTTP}[kind])
    command = [sys.executable, "-c", code, kind, where, given, str(seconds), *questions]
    clients = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(CLIENTS)
    ]
    for client in clients:
        assert client.stdout
        assert client.stdout.readline() == "ready\n"
    machine.start(clients)
    found = [json.loads(client.communicate()[0]) for client in clients]
    return sorted(each / 1000 for one in found for each in one["took"]), sum(one["cpu"] for one in found)


def cpu_of(pid: int) -> float:
    """Seconds of CPU of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(server: machine.Server, statement: str, questions: tuple[str, ...], seconds: float, runs: int) -> list[str]:
    """Lines of a table: both in turns."""
    with psycopg.connect(server.url, autocommit=True) as conn:
        conn.execute("select pgpipe.create_roles()")
        token = tokens.create(conn, "bench", "pgpipe_reader", [], per_minute=1_000_000, burst=1_000_000)  # type: ignore[arg-type]
    rates: dict[str, list[float]] = {"psycopg": [], "http": []}
    costs: dict[str, list[float]] = {"psycopg": [], "http": []}
    slow: dict[str, list[float]] = {"psycopg": [], "http": []}
    with serving(server.url) as (port, pid):
        ways = {"psycopg": (server.url, statement), "http": (str(port), token)}
        for run in range(runs):
            for kind in sorted(ways, reverse=bool(run % 2)):
                before = server.cpu() + (cpu_of(pid) if kind == "http" else 0)
                took, own = asked(kind, *ways[kind], seconds, questions)
                spent = server.cpu() + (cpu_of(pid) if kind == "http" else 0) - before + own
                rates[kind].append(len(took) / seconds)
                costs[kind].append(spent * 1000 / len(took))
                slow[kind].append(took[int(len(took) * 0.99)])
            sys.stderr.write(f"api {run + 1}/{runs}: {rates['psycopg'][-1]:.0f} {rates['http'][-1]:.0f}\n")
    lines = ["| 8 clients, by words | questions a second | CPU, ms a question | p99, ms |", "|---|--:|--:|--:|"]
    for kind, title in (("psycopg", "psycopg, calling the SQL function"), ("http", "`pgpipe serve --api`")):
        rate, cost, last = (statistics.median(found[kind]) for found in (rates, costs, slow))
        lines.append(f"| {title} | {rate:.0f} | {cost:.1f} | {last:.0f} |")
    rate, cost, last = (
        statistics.median(b / a for a, b in zip(found["psycopg"], found["http"], strict=True))
        for found in (rates, costs, slow)
    )
    lines.append(f"| ratio, median of {runs} runs in turns | {rate:.2f} | {cost:.2f} | {last:.2f} |")
    return lines
