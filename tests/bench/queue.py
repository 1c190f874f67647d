"""`make bench-queue`: the queue alone, with a model that does nothing. Prints Markdown, and puts it into its page.

Knobs, by environment: PENDING and LARGE, sizes of the queue for throughput and for the claim (10000,5000000 and
10000,10000000); JOBS a run finishes (20000); HELD, jobs finished while somebody holds a snapshot (200000); ROWS of the
bulk insert (1000000); RUNS (3); BENCH_DIR, for the server.
With other sizes the page is left alone.
"""

import multiprocessing
import os
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from psycopg import sql

from pgpipe.db import Connection, Database
from pgpipe.embed.model.base import Vectors
from pgpipe.embed.totals import Hooks
from pgpipe.embed.worker import Worker
from pgpipe.schema import migrate
from pgpipe.settings.model import DatabaseSettings, EmbeddingSettings, IndexSettings
from pgpipe.target import Target
from tests.bench import machine

PAGE = Path(__file__).parents[2] / "docs" / "embedding.md"
BEGIN, END = "<!-- bench-queue: written by `make bench-queue` -->", "<!-- /bench-queue -->"
KNOBS = ("PENDING", "LARGE", "ROWS", "JOBS", "HELD")
PENDING = [int(n) for n in os.environ.get("PENDING", "10000,5000000").split(",")]
LARGE = [int(n) for n in os.environ.get("LARGE", "10000,10000000").split(",")]
ROWS = int(os.environ.get("ROWS", "1000000"))
JOBS = int(os.environ.get("JOBS", "20000"))
HELD = int(os.environ.get("HELD", "200000"))
RUNS = int(os.environ.get("RUNS", "3"))
FILL = "insert into doc select n, 'title ' || n, 'body of the row ' || n, n from generate_series(1, %s) n"
QUEUE = """
    insert into pgpipe.job (embedding_id, key)
    select %s, jsonb_build_object('id', n) from generate_series(%s::int, %s) n
"""
AGAIN = """
    insert into pgpipe.job (embedding_id, key, visible_at)
    select %s, jsonb_build_object('id', n), '2000-01-01' from generate_series(1, %s) n
        on conflict (embedding_id, key) do update
       set visible_at = excluded.visible_at, lease_token = null, leased_by = null, rescues = 0
"""
PRICE = """
    select calls, total_time from pg_stat_user_functions where schemaname = 'pgpipe_target' and funcname = %s
"""
DEAD = "select n_dead_tup from pg_stat_all_tables where relid = 'pgpipe.job'::regclass"


class Nothing:
    """A model that takes no time."""

    name = "none"
    dims = 8

    def split(self, text: str, size: int | None = None, overlap: int = 0) -> list[tuple[int, int]]:  # noqa: ARG002
        return [(0, len(text))]

    def encode(self, texts: list[str]) -> Vectors:
        return np.ones((len(texts), self.dims), np.float32)


def work(url: str, batch: int, until: float, start: Any, done: Any) -> None:
    """One worker process; what it finished goes to `done`."""
    settings = EmbeddingSettings(model="none", batch=batch, index=IndexSettings(kind="none"))

    def progress(_target: Target, jobs: int) -> None:
        with done.get_lock():
            done.value += jobs
            if done.value >= until:
                worker.stop.set()

    worker = Worker(Database(DatabaseSettings(url=url)), settings, Hooks(progress=progress), lambda _: Nothing())
    start.wait()
    worker.drain()


def one(conn: Connection, statement: str, *values: Any) -> Any:
    row = conn.execute(statement.encode(), values).fetchone()
    assert row is not None
    return row[0]


def say(line: str) -> None:
    """To stderr, at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def declare(conn: Connection, rows: int) -> int:
    """A target of so many rows, with an embedding and no job."""
    conn.execute("drop table if exists doc cascade")
    conn.execute("truncate pgpipe.job")
    conn.execute("create table doc (id int primary key, title text, body text, size int)")
    conn.execute(FILL, (rows,))
    return int(one(conn, "select pgpipe.enable_embedding('doc', '{title,body}', 'none', 8, enqueue => false)"))


def trigger(conn: Connection) -> list[str]:
    """What a bulk insert pays for its jobs."""
    times: dict[bool, list[float]] = {False: [], True: []}
    for run in range(RUNS):
        for watched, taken in times.items():
            declare(conn, 0)
            if not watched:
                conn.execute("select pgpipe_internal.unwatch('doc')")
            conn.execute("checkpoint")
            began = time.perf_counter()
            conn.execute(FILL, (ROWS,))
            taken.append((time.perf_counter() - began) / ROWS * 1e6)
        say(f"insert {run + 1}/{RUNS}: {times[False][-1]:.2f} and {times[True][-1]:.2f} µs a row")
    without, with_ = statistics.median(times[False]), statistics.median(times[True])
    return [
        f"| {ROWS:,} rows in one `insert` | µs a row |",
        "|---|--:|",
        f"| without the triggers | {without:.2f} |",
        f"| with them: a job for each row | {with_:.2f} |",
        f"| more | {with_ - without:.2f} |",
    ]


def claim(conn: Connection, embedding: int) -> float:
    """Milliseconds of a claim of 256, the median of 30."""
    conn.execute("truncate doc_embedding")
    times = []
    for _ in range(30):
        began = time.perf_counter()
        conn.execute(
            sql.SQL("select count(*) from {}(256, 'bench', gen_random_uuid())").format(
                sql.Identifier("pgpipe_target", f"claim_{embedding}")
            )
        )
        times.append((time.perf_counter() - began) * 1000)
    conn.execute("update pgpipe.job set lease_token = null, leased_by = null where lease_token is not null")
    conn.execute("vacuum pgpipe.job")
    return statistics.median(times)


def drain(url: str, conn: Connection, workers: int, batch: int, pending: int) -> tuple[float, float, float]:
    """Jobs per second, bytes of WAL a job, dead row versions a job."""
    embedding = one(conn, "select embedding_id from pgpipe.embedding")
    conn.execute("truncate doc_embedding")
    conn.execute(AGAIN, (embedding, min(JOBS, pending)))
    conn.execute("vacuum (analyze) pgpipe.job")
    conn.execute("checkpoint")
    wal, dead = one(conn, "select pg_current_wal_lsn()"), one(conn, DEAD)
    jobs, seconds = work_off(url, workers, batch, min(JOBS, pending))
    written = float(one(conn, "select pg_current_wal_lsn() - %s::pg_lsn", wal))
    return jobs / seconds, written / jobs, (one(conn, DEAD) - dead) / jobs


def work_off(url: str, workers: int, batch: int, until: int) -> tuple[int, float]:
    """Let processes finish so many jobs or a few more; how many, and in how many seconds."""
    context = multiprocessing.get_context("fork")
    start, done = context.Event(), context.Value("q", 0)
    processes = [context.Process(target=work, args=(url, batch, until, start, done)) for _ in range(workers)]
    for process in processes:
        process.start()
    time.sleep(0.5)
    began = time.perf_counter()
    start.set()
    for process in processes:
        process.join()
    return done.value, time.perf_counter() - began


def throughput(url: str, conn: Connection, pending: int) -> list[str]:
    """A row of the table for each batch and number of workers; the runs take turns."""
    found: dict[tuple[int, int], list[tuple[float, float, float]]] = {}
    for run in range(RUNS):
        for batch in (64, 512):
            for workers in (1, 2, 4):
                figures = drain(url, conn, workers, batch, pending)
                found.setdefault((batch, workers), []).append(figures)
                say(f"{pending:,} pending {run + 1}/{RUNS}: batch {batch}, {workers} workers, {figures[0]:,.0f} jobs/s")
    lines = []
    for (batch, workers), runs in found.items():
        rate, wal, dead = (statistics.median(values) for values in zip(*runs, strict=True))
        lines.append(f"| {pending:,} | {batch} | {workers} | {rate:,.0f} | {wal:,.0f} | {dead:.2f} |")
    return lines


def held(url: str, conn: Connection) -> list[str]:
    """What a claim costs at the start, and after many jobs were finished under a snapshot that somebody holds."""
    embedding = declare(conn, HELD + 4 * JOBS)
    conn.execute(QUEUE, (embedding, 1, HELD + 4 * JOBS))
    conn.execute("vacuum (analyze) pgpipe.job, doc")
    conn.execute("alter database bench set track_functions = 'pl'")
    prices = {}
    with psycopg.connect(url) as holder:
        holder.execute("set transaction isolation level repeatable read")
        holder.execute("select count(*) from pgpipe.job")
        finished = 0
        for until in (JOBS, HELD - JOBS, JOBS):
            conn.execute("select pg_stat_reset()")
            jobs, seconds = work_off(url, 2, 64, until)
            calls, spent = conn.execute(PRICE, (f"claim_{embedding}",)).fetchone() or (0, 0.0)
            say(f"held: after {finished:,}, a claim took {spent / calls:.2f} ms, {jobs / seconds:,.0f} jobs/s")
            prices[finished] = spent / calls, jobs / seconds
            finished += jobs
    conn.execute("alter database bench reset track_functions")
    return [
        "| finished under a held snapshot | a claim of 64, ms | ratio | jobs/s of 2 workers |",
        "|--:|--:|--:|--:|",
        *(f"| {n:,} | {price:.2f} | {price / prices[0][0]:.2f} | {rate:,.0f} |" for n, (price, rate) in prices.items()),
    ]


def queue(url: str, conn: Connection) -> tuple[list[str], list[str]]:
    """The tables of the claim and of throughput, by a queue that grows."""
    embedding = declare(conn, JOBS * 2)
    conn.execute("alter table pgpipe.job set (autovacuum_enabled = off)")  # so that what died can be counted
    claims, rates, have = {}, [], 0
    for pending in sorted({*PENDING, *LARGE}):
        began = time.perf_counter()
        conn.execute(QUEUE, (embedding, have + 1, pending))
        conn.execute("vacuum (analyze) pgpipe.job, doc")
        have = pending
        say(f"{pending:,} pending after {time.perf_counter() - began:.0f} s")
        if pending in LARGE:
            claims[pending] = claim(conn, embedding)
        if pending in PENDING:
            rates += throughput(url, conn, pending)
            conn.execute(AGAIN, (embedding, min(JOBS, pending)))
    least = claims[min(claims)]
    return (
        ["| pending | a claim of 256, ms | ratio |", "|--:|--:|--:|"]
        + [f"| {pending:,} | {median:.2f} | {median / least:.2f} |" for pending, median in claims.items()],
        [
            "| pending | batch | workers | jobs/s | WAL, bytes a job | dead tuples a job |",
            "|--:|--:|--:|--:|--:|--:|",
            *rates,
        ],
    )


def main() -> None:
    """A server of its own, in the default configuration but for the memory."""
    load = os.getloadavg()[0]
    with machine.server(os.environ.get("BENCH_DIR")) as server:
        migrate(Database(DatabaseSettings(url=server.url)))
        with psycopg.connect(server.url, autocommit=True) as conn:
            inserted = trigger(conn)
            claimed, drained = queue(server.url, conn)
            kept = held(server.url, conn)
    what = (
        f"{JOBS:,} jobs a run, of two short columns, vectors of 8 dimensions; full pages after a checkpoint are in the"
        f" WAL, autovacuum is off so that the dead can be counted. Medians of {RUNS} runs, in turns. Measured"
        f" {datetime.now(UTC):%Y-%m-%d} on {machine.name()}, PostgreSQL 18 on the same machine; load average at the"
        f" start {load:.1f}."
    )
    text = "\n".join([*drained, "", *claimed, "", *kept, "", *inserted, "", what])
    sys.stdout.write(f"{text}\n")
    page = PAGE.read_text(encoding="utf-8")
    if set(KNOBS).isdisjoint(os.environ):
        before, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
