"""`make bench-history`: what a history adds to a merge, with every row of the prose changed, and with none.

Knobs, by environment: COPIES of the standard library's docstrings (100), RUNS (5), BENCH_DIR.
"""

import os
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from pgpipe.db import Database
from pgpipe.schema import migrate
from pgpipe.settings.model import DatabaseSettings
from tests.bench import lakes, machine

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- bench-history: written by `make bench-history` -->", "<!-- /bench-history -->"
COPIES = int(os.environ.get("COPIES", "100"))
RUNS = int(os.environ.get("RUNS", "5"))
TABLES = ("without", "with_history")
COLUMNS = lakes.SCHEMA.names
Conn = psycopg.Connection[tuple[object, ...]]


def prepare(conn: Conn) -> int:
    """The same rows in each table; returns how many."""
    fields = ", ".join(f"{name} text" for name in COLUMNS)
    conn.execute(f"create table source ({fields})")
    with conn.cursor().copy("copy source from stdin") as copy:
        for _, row in lakes.documented():
            copy.write_row([None if row[name] is None else str(row[name]) for name in COLUMNS])
    others = ", ".join(name for name in COLUMNS if name != "name")
    for table in TABLES:
        conn.execute(
            f"create table {table} as select copy || '~' || name as name, {others}"
            f" from source cross join generate_series(1, {COPIES}) copy"
        )
        conn.execute(f"alter table {table} add primary key (name)")
    with conn.transaction():
        conn.execute("select pgpipe_internal.set_history('with_history', '{name}', true, '400 days')")
        conn.execute("select pgpipe_internal.keep_versions('with_history', null, '{name}', null, true)")
    return conn.execute("select count(*) from without").fetchone()[0]


def merge(server: machine.Server, conn: Conn, table: str, changed: str) -> tuple[float, float]:
    """Seconds of one merge with the whole table staged, commit included: as they pass, and of the server's CPU."""
    conn.execute(f"create unlogged table pgpipe_staging.{table} as select * from {table}")
    if changed:
        conn.execute(f"update pgpipe_staging.{table} set doc = doc || {changed}")
    conn.execute("vacuum analyze")
    conn.execute("checkpoint")
    cpu, began = server.cpu(), time.perf_counter()
    conn.execute(
        "select pgpipe_internal.merge(%s::text::regclass, %s::text::regclass, %s, '{name}', 'snapshot', '[]', '{}')",
        (table, f"pgpipe_staging.{table}", COLUMNS),
    )
    taken = time.perf_counter() - began, server.cpu() - cpu
    conn.execute(f"select pgpipe_internal.drop_staging('pgpipe_staging.{table}')")
    return taken


def measure(server: machine.Server, conn: Conn) -> list[str]:
    """Each table in turn, RUNS times over; medians."""
    rows = prepare(conn)
    lines = ["| rows changed | µs a row | without | with history | more |", "|---|---|--:|--:|--:|"]
    for name, changed in ((f"all of {rows:,}", "'x'"), (f"none of {rows:,}", "")):
        taken: dict[str, list[tuple[float, float]]] = {table: [] for table in TABLES}
        for run in range(RUNS):
            for table in TABLES if run % 2 else reversed(TABLES):
                taken[table].append(merge(server, conn, table, changed))
            sys.stderr.write(f"{name} {run + 1}/{RUNS}: {[taken[table][-1] for table in TABLES]}\n")
        for place, kind in enumerate(("time", "CPU of the server")):
            plain, kept = (statistics.median(cost[place] for cost in taken[table]) / rows * 1e6 for table in TABLES)
            lines.append(f"| {name} | {kind} | {plain:.1f} | {kept:.1f} | {kept - plain:.1f} |")
    return lines


def main() -> None:
    """A server of its own."""
    with machine.server(os.environ.get("BENCH_DIR")) as server:
        migrate(Database(DatabaseSettings(url=server.url)))
        with psycopg.connect(server.url, autocommit=True) as conn:
            lines = measure(server, conn)
    what = (
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine.name()}, PostgreSQL 18 on the same machine (fsync on,"
        f" shared_buffers 1 GB), medians of {RUNS}, in turns; load average {os.getloadavg()[2]:.1f}."
    )
    text = "\n".join([*lines, "", what])
    sys.stdout.write(f"{text}\n")
    page = PAGE.read_text(encoding="utf-8")
    if BEGIN in page:
        before, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
