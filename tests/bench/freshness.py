"""`make bench-freshness`: how soon a change is found by meaning, and what that costs writers and an idle server.

Knobs, by environment: SECONDS of each run (20), RUNS of the writers (3), WRITERS (8), RATE of changes a second (1000),
ROWS (20000), BENCH_DIR, for the server. Prints Markdown.
"""

import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from pgpipe.db import Connection, Database
from pgpipe.embed.model.base import Model, load_model
from pgpipe.embed.worker import Worker
from pgpipe.schema import migrate
from pgpipe.settings.model import DEFAULT_MODEL, DatabaseSettings, EmbeddingSettings, IndexSettings
from tests.bench import machine
from tests.bench.queue import Nothing

SECONDS = float(os.environ.get("SECONDS", "20"))
RUNS = int(os.environ.get("RUNS", "3"))
WRITERS = int(os.environ.get("WRITERS", "8"))
RATE = int(os.environ.get("RATE", "1000"))
ROWS = int(os.environ.get("ROWS", "20000"))
PROBES = 100
NOTIFY = """
    create or replace function tell() returns trigger language plpgsql as
    $$ begin perform pg_notify('pgpipe', ''); return null; end $$;
    create trigger tell after update on doc for each statement execute function tell()
"""
CHANGE = "\\set id random(1, {rows})\nupdate doc set body = 'changed ' || random() where id = :id;\n"
FILL = "insert into doc select n, 'body of the row ' || n from generate_series(1, %s) n"


def declare(conn: Connection, model: str, dims: int, rows: int = ROWS) -> None:
    """A target whose rows have no vectors yet."""
    conn.execute("drop table if exists doc cascade")
    conn.execute("truncate pgpipe.job")
    conn.execute("create table doc (id int primary key, body text)")
    conn.execute(FILL, (rows,))
    conn.execute("select pgpipe.enable_embedding('doc', '{body}', %s, %s)", (model, dims))
    conn.execute("checkpoint")


def pgbench(server: machine.Server, folder: str, clients: int, *options: str) -> float:
    """Transactions per second of single-row changes."""
    script = Path(folder, "change.sql")
    script.write_text(CHANGE.format(rows=ROWS), encoding="utf-8")
    command = [
        str(server.bin / "pgbench"),
        "-n",
        "-c",
        str(clients),
        "-T",
        str(int(SECONDS)),
        "-f",
        str(script),
        *options,
    ]
    done = subprocess.run([*command, server.url], capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])


def writers(server: machine.Server, conn: Connection, folder: str) -> list[str]:
    """Writers with and without a NOTIFY in each statement, in turns."""
    rates: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(RUNS):
        for notify, found in rates.items():
            declare(conn, "none", 8)
            if notify:
                conn.execute(NOTIFY)
            found.append(pgbench(server, folder, WRITERS))
            say(f"{WRITERS} writers, {'NOTIFY' if notify else 'no NOTIFY'}: {found[-1]:,.0f} changes/s")
    plain, told = statistics.median(rates[False]), statistics.median(rates[True])
    return [f"| {WRITERS} writers | changes/s |", "|---|--:|", f"| as they are | {plain:,.0f} |",
            f"| with a NOTIFY in each statement | {told:,.0f} |"]  # fmt: skip


@contextmanager
def working(url: str, settings: EmbeddingSettings, load: Callable[[EmbeddingSettings], Model]) -> Iterator[Worker]:
    """An embedder, as `pgpipe embedder` runs one."""
    ready = threading.Event()
    worker = Worker(Database(DatabaseSettings(url=url)), settings, load=load)
    thread = threading.Thread(target=worker.run, args=(ready.set,))
    thread.start()
    ready.wait(120)
    time.sleep(1)
    try:
        yield worker
    finally:
        worker.halt()
        thread.join()


def idle(conn: Connection) -> None:
    """Wait until every row has its vector, and all were looked at."""
    done = "select waiting + leased = 0 and swept_at is not null from pgpipe.embedding_status"
    while conn.execute(done).fetchone() != (True,):
        time.sleep(0.2)
    conn.execute("vacuum analyze doc, pgpipe.job")


def lags(conn: Connection, probes: int, pause: float) -> list[float]:
    """Seconds from a change's commit until its vector is there, at random moments."""
    found = []
    for number in range(probes):
        time.sleep(random.uniform(0.5, 1.5) * pause)
        conn.execute("update doc set body = 'probe ' || %s || random() where id = %s", (number, number + 1))
        began = time.perf_counter()
        left = "select 1 from pgpipe.job where key = jsonb_build_object('id', %s::int)"
        while conn.execute(left, (number + 1,)).fetchone():
            time.sleep(0.005)
        found.append(time.perf_counter() - began)
    return sorted(found)


def shown(name: str, found: list[float]) -> str:
    """A row of the table."""
    p50, p99 = found[len(found) // 2], found[min(int(len(found) * 0.99), len(found) - 1)]
    say(f"{name}: p50 {p50:.3f} s, p99 {p99:.3f} s")
    return f"| {name} | {p50 * 1000:.0f} | {p99 * 1000:.0f} | {found[-1] * 1000:.0f} |"


def freshness(server: machine.Server, conn: Connection, folder: str) -> list[str]:
    """How soon a change is found: alone with a real model, and among many others with one that takes no time."""
    plain = EmbeddingSettings(model="none", index=IndexSettings(kind="none"))
    rows = ["| changes | p50, ms | p99, ms | worst, ms |", "|---|--:|--:|--:|"]
    real = EmbeddingSettings(index=IndexSettings(kind="none"))
    declare(conn, DEFAULT_MODEL, 384, PROBES)
    with working(server.url, real, load_model):
        idle(conn)
        rows.append(shown(f"one now and then, `{DEFAULT_MODEL}`", lags(conn, PROBES, 0.4)))
    declare(conn, "none", 8)
    with working(server.url, plain, lambda _: Nothing()):
        idle(conn)
        rows.append(shown("one now and then, a model that takes no time", lags(conn, PROBES, 0.2)))
        before, began = time.process_time(), server.cpu()
        time.sleep(SECONDS)
        used = (time.process_time() - before) / SECONDS, (server.cpu() - began) / SECONDS
        busy = threading.Thread(target=pgbench, args=(server, folder, 4, "-R", str(RATE)))
        busy.start()
        time.sleep(2)
        rows.append(shown(f"{RATE:,} a second, a model that takes no time", lags(conn, 40, 0.2)))
        waiting = conn.execute("select count(*) from pgpipe.job").fetchone()
        busy.join()
    rows += ["", f"An idle embedder uses {used[0]:.1%} of a core, and the server {used[1]:.1%} for it."]
    return [*rows, f"At {RATE:,} changes a second {waiting[0] if waiting else 0:,} jobs waited in the end."]


def say(line: str) -> None:
    """Progress."""
    sys.stderr.write(f"{line}\n")


def main() -> None:
    """Measure, and print."""
    base = os.environ.get("BENCH_DIR") or tempfile.gettempdir()
    with machine.server(base) as server, tempfile.TemporaryDirectory() as folder:
        migrate(Database(DatabaseSettings(url=server.url)))
        with psycopg.connect(server.url, autocommit=True) as conn:
            lines = [*freshness(server, conn, folder), "", *writers(server, conn, folder)]
    sys.stdout.write("\n".join([*lines, "", f"On {machine.name()}; load average {os.getloadavg()[1]:.1f}.", ""]))


if __name__ == "__main__":
    main()
