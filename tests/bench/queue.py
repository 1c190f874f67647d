"""`make bench-queue`: the queue alone, with a model that does nothing. Prints Markdown.

PENDING and LARGE are the sizes of the queue for throughput and for the claim (10000,5000000 and 10000,10000000), JOBS
how many a run finishes (20000), ROWS the bulk insert (1000000).
"""

import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import psycopg

from pgpipe.config import DatabaseSettings, EmbeddingSettings
from pgpipe.db import Connection, Database, pgserver
from pgpipe.embed.model import Vectors
from pgpipe.embed.worker import Worker
from pgpipe.schema import migrate

PENDING = [int(n) for n in os.environ.get("PENDING", "10000,5000000").split(",")]
LARGE = [int(n) for n in os.environ.get("LARGE", "10000,10000000").split(",")]
ROWS = int(os.environ.get("ROWS", "1000000"))
JOBS = int(os.environ.get("JOBS", "20000"))
FILL = "insert into doc select n, 'title ' || n, 'body of the row ' || n, n from generate_series(1, %s) n"
QUEUE = """
    insert into pgpipe.job (embedding_id, key)
    select %s, jsonb_build_object('id', n) from generate_series(1, %s) n on conflict do nothing
"""


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
    worker = Worker(
        Database(DatabaseSettings(url=url)), EmbeddingSettings(model="none", batch=batch), load=lambda _: Nothing()
    )

    def progress(_entity: str, jobs: int) -> None:
        with done.get_lock():
            done.value += jobs
            if done.value >= until:
                worker.stop.set()

    worker.progress = progress
    start.wait()
    worker.drain()


def one(conn: Connection, statement: str, *values: Any) -> Any:
    row = conn.execute(statement.encode(), values).fetchone()
    assert row is not None
    return row[0]


def prepare(conn: Connection, rows: int, pending: int) -> int:
    """`rows` rows in the target, and so many jobs, of which the first have their row."""
    conn.execute("drop table if exists doc cascade")
    conn.execute("truncate pgpipe.job")
    conn.execute("create table doc (id int primary key, title text, body text, size int)")
    conn.execute(FILL, (rows,))
    target = "select pgpipe.enable_embedding('doc', '{title,body}', 'none', 8, enqueue => false)"
    embedding = int(one(conn, target))
    conn.execute(QUEUE, (embedding, pending))
    conn.execute("vacuum (analyze) pgpipe.job, doc")
    conn.execute("checkpoint")
    return embedding


def throughput(url: str, conn: Connection) -> None:
    """Jobs per second, WAL and row versions a job."""
    click.echo(f"\n## Jobs per second ({JOBS:,} jobs of those pending)\n")
    click.echo(
        "| pending | batch | workers | jobs/s | WAL bytes a job | dead tuples a job |\n|---:|---:|---:|---:|---:|---:|"
    )
    context = multiprocessing.get_context("fork")
    for pending in PENDING:
        for batch in (64, 512):
            for workers in (1, 2, 4):
                prepare(conn, JOBS * 2, pending)
                conn.execute(
                    "alter table pgpipe.job set (autovacuum_enabled = off)"
                )  # so that what died can be counted
                start, done = context.Event(), context.Value("q", 0)
                until = min(JOBS, pending)
                processes = [
                    context.Process(target=work, args=(url, batch, until, start, done)) for _ in range(workers)
                ]
                for process in processes:
                    process.start()
                time.sleep(0.5)
                before = one(conn, "select pg_current_wal_lsn()")
                began = time.perf_counter()
                start.set()
                for process in processes:
                    process.join()
                seconds = time.perf_counter() - began
                wal = one(conn, "select pg_current_wal_lsn() - %s::pg_lsn", before)
                conn.execute("select pg_stat_force_next_flush()")
                dead = one(conn, "select n_dead_tup from pg_stat_all_tables where relid = 'pgpipe.job'::regclass")
                jobs = done.value
                figures = f"{jobs / seconds:,.0f} | {wal / jobs:,.0f} | {dead / jobs:.2f}"
                click.echo(f"| {pending:,} | {batch} | {workers} | {figures} |")


def claims(conn: Connection) -> None:
    """What a claim costs."""
    click.echo("\n## A claim of 256\n\n| pending | median ms | ratio |\n|---:|---:|---:|")
    first = None
    for pending in LARGE:
        embedding = prepare(conn, 10_000, pending)
        times = []
        for _ in range(30):
            began = time.perf_counter()
            conn.execute("select count(*) from pgpipe.claim_jobs(%s, 256, 'bench', gen_random_uuid())", (embedding,))
            times.append((time.perf_counter() - began) * 1000)
        median = statistics.median(times)
        first = first or median
        click.echo(f"| {pending:,} | {median:.2f} | {median / first:.2f} |")


def trigger(conn: Connection) -> None:
    """What a bulk insert pays for its jobs."""
    click.echo(f"\n## A bulk insert of {ROWS:,} rows\n\n| | µs a row, median of 3 |\n|---|---:|")
    times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(3):
        for watched, taken in times.items():
            prepare(conn, 0, 0)
            if not watched:
                conn.execute("select pgpipe.unwatch('doc')")
            began = time.perf_counter()
            conn.execute(FILL, (ROWS,))
            taken.append((time.perf_counter() - began) / ROWS * 1e6)
    without, with_ = statistics.median(times[False]), statistics.median(times[True])
    click.echo(
        f"| without the triggers | {without:.2f} |\n| with them | {with_:.2f} |\n| more | {with_ - without:.2f} |"
    )


def main() -> None:
    """A server of its own, in the default configuration but for the memory."""
    folder = Path(tempfile.mkdtemp(prefix="pgpipe-bench-", dir=os.environ.get("WORK")))
    folder.chmod(0o755)
    server = pgserver().get_server(folder / "data", cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as conn:
            for setting, value in {"shared_buffers": "1GB", "max_wal_size": "8GB"}.items():
                conn.execute(psycopg.sql.SQL("alter system set {} = {}").format(psycopg.sql.Identifier(setting), value))
        server.cleanup()
        server = pgserver().get_server(folder / "data", cleanup_mode="stop")
        url = server.get_uri()
        migrate(Database(DatabaseSettings(url=url)))
        with psycopg.connect(url, autocommit=True) as conn:
            click.echo(f"# The queue alone: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
            trigger(conn)
            claims(conn)
            throughput(url, conn)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
