"""`make bench-applications`: what a searcher adds to the SQL function, threads next to processes, and a cold command.

Knobs, by environment: COPIES of the standard library's docstrings (3), RUNS (5), SECONDS of load (5), BENCH_DIR.
"""

import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

import pgpipe
from pgpipe.db import Database
from pgpipe.embed.model.bert import load_for_questions
from pgpipe.embed.worker import Worker
from pgpipe.schema import migrate
from pgpipe.settings.model import DEFAULT_MODEL, DatabaseSettings, EmbeddingSettings, Settings
from tests.bench import api, lakes, machine

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- bench-applications: written by `make bench-applications` -->", "<!-- /bench-applications -->"
COPIES, RUNS, SECONDS = (
    int(os.environ.get(name, value)) for name, value in (("COPIES", 3), ("RUNS", 5), ("SECONDS", 5))
)
CALLS = 100  # of each kind in a run
CLIENTS = 8
SMALL = 100  # rows that have vectors
SQL = {
    "text": "select key from pgpipe.text_search('function', %(query)s, 10)",
    "vector": "select key from pgpipe.vector_search('note', %(vector)s, 10)",
    "hybrid": "select key from pgpipe.hybrid_search('note', %(query)s, %(vector)s, 10)",
}
QUESTIONS = (
    "how do I open a file and read it line by line", "compress file gzip", "parse a date from text",
    "remove duplicates from a list", "random number between two values", "sort a list of tuples by the second item",
    "make a string safe to use in a shell command", "wait for a subprocess to end",
)  # fmt: skip
# What a client of its own does: ask until the time is over, and say how often it did.
CLIENT = """
import sys, time
import psycopg
url, statement, seconds, *questions = sys.argv[1:]
with psycopg.connect(url, autocommit=True) as conn:
    conn.execute(statement, {"query": questions[0]}).fetchall()
    print("ready", flush=True)
    sys.stdin.readline()
    until, n = time.monotonic() + float(seconds), 0
    while time.monotonic() < until:
        conn.execute(statement, {"query": questions[n % len(questions)]}).fetchall()
        n += 1
print(n)
"""


def prepare(database: Database) -> None:
    """All docstrings, searched by words; some of them, with vectors of the default model too."""
    names = lakes.SCHEMA.names
    with database.connect(autocommit=True) as conn:
        for table, copies, most in (("function", COPIES, None), ("note", 1, SMALL)):
            conn.execute(
                f"create table {table} (id bigint generated always as identity primary key, name text, doc text)"
            )
            with conn.cursor().copy(f"copy {table} (name, doc) from stdin") as copy:
                for copied in range(copies):
                    for _, row in list(lakes.documented())[:most]:
                        copy.write_row([f"{copied} {row[names[0]]}", str(row["doc"])])
            conn.execute(f"select pgpipe.enable_search('{table}', '{{name=>A, doc=>B}}')")
            conn.execute(f"select pgpipe.refresh_search('{table}')")
        conn.execute("select pgpipe.enable_embedding('note', '{name}', %s, 384)", (DEFAULT_MODEL,))
        conn.execute("vacuum analyze")
    Worker(database, EmbeddingSettings(), load=load_for_questions).drain()
    sys.stderr.write("prepared\n")


def overhead(searcher: pgpipe.Searcher, conn: psycopg.Connection[Any], settings: Settings) -> list[str]:
    """Milliseconds of a call, of the SQL function and of each face in turns; the answers are compared."""
    vectors = {query: searcher.embed_query(query, "note") for query in QUESTIONS}
    lines = ["| mode | SQL function | `Searcher` | more | `pgpipe.search` |", "|---|--:|--:|--:|--:|"]
    for mode, statement in SQL.items():
        entity = "function" if mode == "text" else "note"
        spent: dict[str, list[float]] = {"sql": [], "searcher": [], "search": []}
        for n in range(CALLS * RUNS):
            query = QUESTIONS[n % len(QUESTIONS)]
            given = {"query": query, "vector": str(vectors[query])}
            how = {} if mode == "text" else {"vector": vectors[query]}
            faces: dict[str, Callable[[], list[Any]]] = {
                "sql": lambda: [row[0] for row in conn.execute(statement, given)],  # noqa: B023 - called at once
                "searcher": lambda: [h.key for h in searcher.search(query, entity, mode, **how)],  # noqa: B023
            }
            if n % 10 == 0:
                faces["search"] = lambda: [h.key for h in pgpipe.search(query, entity, mode, settings=settings, **how)]  # noqa: B023
            answers = []
            for name in sorted(faces, reverse=bool(n % 2)):
                began = time.perf_counter()
                answers.append(faces[name]())
                spent[name].append((time.perf_counter() - began) * 1000)
            assert all(answer == answers[0] for answer in answers), query
        sql, ours, once = (statistics.median(spent[name]) for name in ("sql", "searcher", "search"))
        more = statistics.median(b - a for a, b in zip(spent["sql"], spent["searcher"], strict=True))
        lines.append(f"| {mode} | {sql:.1f} | {ours:.1f} | {more:.1f} | {once:.1f} |")
        sys.stderr.write(lines[-1] + "\n")
    return lines


def throughput(searcher: pgpipe.Searcher, url: str) -> list[str]:
    """Questions a second by words: so many processes with a connection each, and so many threads with one searcher."""

    def processes() -> float:
        command = [sys.executable, "-c", CLIENT, url, SQL["text"], str(SECONDS), *QUESTIONS]
        clients = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(CLIENTS)
        ]
        for client in clients:
            assert client.stdout
            assert client.stdout.readline() == "ready\n"
        machine.start(clients)
        asked = [client.communicate()[0] for client in clients]
        return sum(map(int, asked)) / SECONDS

    def threads() -> float:
        until = time.monotonic() + SECONDS

        def ask(first: int) -> int:
            n = 0
            while time.monotonic() < until:
                searcher.search(QUESTIONS[(first + n) % len(QUESTIONS)], "function", "text")
                n += 1
            return n

        with ThreadPoolExecutor(CLIENTS) as pool:
            return sum(pool.map(ask, range(CLIENTS))) / SECONDS

    threads()  # opens the connections
    found: dict[str, list[float]] = {"processes": [], "threads": []}
    for run in range(RUNS):
        for name, measure in (("processes", processes), ("threads", threads))[:: 1 if run % 2 else -1]:
            found[name].append(measure())
        sys.stderr.write(f"throughput {run + 1}/{RUNS}: {found['processes'][-1]:.0f} {found['threads'][-1]:.0f}\n")
    ratio = statistics.median(b / a for a, b in zip(found["processes"], found["threads"], strict=True))
    theirs, ours = (statistics.median(found[name]) for name in ("processes", "threads"))
    alone = f"{CLIENTS} processes with a psycopg connection each, calling the SQL function: {theirs:.0f} questions"
    return [f"{alone} a second by words. {CLIENTS} threads with one searcher: {ours:.0f}, {ratio:.2f} times as many."]


def cold(server: machine.Server) -> list[str]:
    """Seconds of a command that is started for one question, and of the CPU that it takes itself."""
    lines = ["| `pgpipe search`, cold | seconds | CPU of the command |", "|---|--:|--:|"]
    for mode in ("text", "vector"):
        command = [sys.executable, "-m", "pgpipe", "search", QUESTIONS[0], "--entity", "note", "--mode", mode]
        costs = [machine.timed(server, command, {"DATABASE_URL": server.url}) for _ in range(RUNS + 1)][1:]
        cost = machine.median(costs)
        lines.append(f"| {mode} | {cost.wall:.2f} | {cost.client:.2f} |")
    return lines


def main() -> None:
    """A server of its own."""
    load = os.getloadavg()[0]
    with machine.server(os.environ.get("BENCH_DIR")) as server:
        database = Database(DatabaseSettings(url=server.url))
        migrate(database)
        prepare(database)
        settings = Settings.model_validate({"database": {"url": server.url}})
        with pgpipe.Searcher(settings=settings) as searcher, psycopg.connect(server.url, autocommit=True) as conn:
            lines = ["Milliseconds of a call, medians:", "", *overhead(searcher, conn, settings), ""]
            lines += [*throughput(searcher, server.url), "", *cold(server), ""]
            lines += api.measure(server, SQL["text"], QUESTIONS, SECONDS, RUNS)
    what = (
        f"The vector is given. {COPIES} copies of the standard library's docstrings by words, {SMALL} with vectors."
        f" Measured {datetime.now(UTC):%Y-%m-%d} on {machine.name()}, PostgreSQL 18 on the same machine, all in turns;"
        f" load average {load:.1f} at the start."
    )
    text = "\n".join([*lines, "", what])
    sys.stdout.write(f"{text}\n")
    page = PAGE.read_text(encoding="utf-8")
    if BEGIN in page:
        before, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
