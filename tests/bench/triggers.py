"""`make bench-triggers`: what one statement pays for its jobs, row by row. Prints Markdown, and puts it into its page.

Each statement runs on a table without triggers, with pgpipe's, and with static triggers that a person wrote for that
one table (static_trigger.sql). Then 1, 100,000 and 1 rows are updated in one session, and each in a fresh one: a plan
that the first statement left behind must not be the wrong one for the next. Last, a million rows are inserted at once.

Knobs, by environment: STATEMENTS of a round (2000), RUNS (7), ROWS of the table (100000), BULK rows (1000000), of which
there are 3 rounds, BENCH_DIR, for the server.
With other sizes the page is left alone.
"""

import os
import statistics
import sys
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import psycopg

from pgpipe.db import Connection, Database
from pgpipe.schema import migrate
from pgpipe.settings.model import DatabaseSettings
from tests.bench import machine

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- bench-triggers: written by `make bench-triggers` -->", "<!-- /bench-triggers -->"
KNOBS = ("STATEMENTS", "RUNS", "ROWS", "BULK")
STATEMENTS = int(os.environ.get("STATEMENTS", "2000"))
RUNS = int(os.environ.get("RUNS", "7"))
ROWS = int(os.environ.get("ROWS", "100000"))
BULK = int(os.environ.get("BULK", "1000000"))
BULK_RUNS = 3
WARM = 200  # statements before the clock starts: plans are cached, pages are read
STATIC = Path(__file__).with_name("static_trigger.sql")
MAKE = """
    drop schema if exists bench cascade;
    drop table if exists doc_embedding, doc cascade;
    truncate pgpipe.embedding, pgpipe.job restart identity cascade;
    create table doc (id bigint primary key, title text, body text, size int);
"""
FILL = "insert into doc select n, 'title ' || n, 'body of the row ' || n, n from generate_series(1, %s) n"
EMBED = "select pgpipe.enable_embedding('doc', '{title,body}', 'none', 8, enqueue => false)"
UPDATE_MANY = "update doc set title = %s where id <= %s"
VARIANTS = ("none", "pgpipe", "static")
STATEMENT = {
    "insert": "insert into doc values (%(key)s, 'a title', 'a body', 1)",
    "update of an embedded column": "update doc set title = %(word)s where id = %(row)s",
    "update of another column": "update doc set size = %(number)s where id = %(row)s",
}
numbers = count(10_000_000)  # keys that no row has


def say(line: str) -> None:
    """To stderr, at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def prepare(conn: Connection, variant: str) -> None:
    """The table with the triggers of this variant, and an empty queue."""
    conn.execute(MAKE)
    if variant != "none":
        conn.execute(EMBED)
    if variant == "static":
        conn.execute("select pgpipe_internal.unwatch('doc')")
        conn.execute(STATIC.read_bytes())
    conn.execute(FILL, (ROWS,))
    conn.execute("truncate pgpipe.job")
    conn.execute("vacuum (analyze) doc, pgpipe.job")


def one_by_one(url: str, statement: str) -> float:
    """µs a statement, in one transaction of a fresh session; the commit is not counted."""
    with psycopg.connect(url) as conn:
        for n in range(WARM + STATEMENTS):
            if n == WARM:
                began = time.perf_counter()
            number = next(numbers)
            values = {"key": number, "row": number % ROWS + 1, "word": f"title {number}", "number": number}
            conn.execute(statement.encode(), values, prepare=True)
        return (time.perf_counter() - began) / STATEMENTS * 1e6


def many(conn: Connection, rows: int) -> float:
    """Milliseconds of one UPDATE of so many rows."""
    began = time.perf_counter()
    conn.execute(UPDATE_MANY, (f"title {next(numbers)}", rows))
    return (time.perf_counter() - began) * 1000


def sizes(url: str) -> list[str]:
    """1, 100,000 and 1 rows in one session, beside each in a session of its own."""
    wanted = (1, ROWS, 1)
    together: list[list[float]] = [[], [], []]
    alone: list[list[float]] = [[], [], []]
    for run in range(RUNS):
        for place, rows in enumerate(wanted):
            with psycopg.connect(url, autocommit=True) as conn:
                alone[place].append(many(conn, rows))
                conn.execute("vacuum doc, pgpipe.job")
        with psycopg.connect(url, autocommit=True) as conn:
            for place, rows in enumerate(wanted):
                together[place].append(many(conn, rows))
                conn.execute("vacuum doc, pgpipe.job")
        say(f"sizes {run + 1}/{RUNS}")
    lines = [
        "| rows of the UPDATE, one after the other | in one session, ms | in a fresh one, ms | ratio |",
        "|--:|--:|--:|--:|",
    ]
    for rows, first, second in zip(wanted, together, alone, strict=True):
        a, b = statistics.median(first), statistics.median(second)
        lines.append(f"| {rows:,} | {a:.2f} | {b:.2f} | {a / b:.2f} |")
    return lines


def statements(url: str) -> list[str]:
    """A row of the table for each statement; the variants take turns."""
    taken: dict[tuple[str, str], list[float]] = {}
    with psycopg.connect(url, autocommit=True) as conn:
        for run in range(RUNS):
            for variant in VARIANTS:
                prepare(conn, variant)
                for name, statement in STATEMENT.items():
                    taken.setdefault((name, variant), []).append(one_by_one(url, statement))
            say(f"statements {run + 1}/{RUNS}")
    lines = [
        "| statement | no trigger | pgpipe's triggers | static triggers | pgpipe's by static |",
        "|---|--:|--:|--:|--:|",
    ]
    for name in STATEMENT:
        none, ours, static = (statistics.median(taken[name, variant]) for variant in VARIANTS)
        lines.append(f"| {name} | {none:.0f} | {ours:.0f} | {static:.0f} | {ours / static:.2f} |")
    return lines


def bulk(url: str) -> list[str]:
    """What a row of one large INSERT costs, by variant."""
    taken: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    insert = "insert into doc select n, 'title ' || n, 'body ' || n, n from generate_series(%s, %s) n"
    with psycopg.connect(url, autocommit=True) as conn:
        for run in range(BULK_RUNS):
            for variant in VARIANTS:
                prepare(conn, variant)
                conn.execute("checkpoint")
                began = time.perf_counter()
                conn.execute(insert, (ROWS + 1, ROWS + BULK))
                taken[variant].append((time.perf_counter() - began) / BULK * 1e6)
            say(f"bulk {run + 1}/{BULK_RUNS}")
    none, ours, static = (statistics.median(taken[variant]) for variant in VARIANTS)
    more = f"pgpipe's take {ours - none:.1f} µs a row more, static triggers {static - none:.1f}."
    return [f"One INSERT of {BULK:,} rows takes {none:.1f} µs a row without triggers. {more}"]


def main() -> None:
    """A server of its own, in the default configuration but for the memory."""
    load = os.getloadavg()[0]
    with machine.server(os.environ.get("BENCH_DIR")) as server:
        migrate(Database(DatabaseSettings(url=server.url)))
        rows = statements(server.url)
        with psycopg.connect(server.url, autocommit=True) as conn:
            prepare(conn, "pgpipe")
        grown = sizes(server.url)
        large = bulk(server.url)
    what = (
        f"µs a statement, {STATEMENTS:,} statements in one transaction over a Unix socket. Medians of {RUNS} rounds, in"
        f" turns. Measured {datetime.now(UTC):%Y-%m-%d} on {machine.name()}, PostgreSQL 18 on the same machine; load"
        f" average at the start {load:.1f}."
    )
    text = "\n".join([*rows, "", *grown, "", *large, "", what])
    sys.stdout.write(f"{text}\n")
    page = PAGE.read_text(encoding="utf-8")
    if BEGIN in page and set(KNOBS).isdisjoint(os.environ):
        before, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
