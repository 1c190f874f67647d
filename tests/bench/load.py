"""`make bench-load`: pgpipe against other loaders, one run, one machine, the same files.

Knobs, by environment: SCALE (of TPC-H, "0.3,1"), RUNS (3), PEERS and WORK (comma lists; all), JOBS ("1,2,4"), LAKE,
ENTITY, KEY and COPIES (of the prose), FILES (50000 tiny ones), GROUP_GB (2), BENCH_DIR (for the server and the lakes).
WORK is of lineitem, prose, tiny, group; with it the page is left alone.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from tests.bench import lakes, machine, peers
from tests.bench.machine import Cost, Server, median, timed

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- bench-load: written by `make bench-load` -->", "<!-- /bench-load -->"
RUNS = int(os.environ.get("RUNS", "3"))
JOBS = os.environ.get("JOBS", "1,2,4").split(",")


def wanted(name: str, knob: str) -> bool:
    """Whether a peer or a kind of work is asked for; by default each is."""
    listed = os.environ.get(knob, "")
    return not listed or name in listed.split(",")


@dataclass
class Contest:
    """Contestants that do the same work in turns."""

    server: Server
    rows: int
    limit: str  # the contestant that the others are compared with

    def run(self, contestants: dict[str, Callable[[], tuple[Cost, int]]]) -> dict[str, tuple[Cost, int]]:
        """Each in turn, RUNS times over; the median cost of each, and the rows it brought."""
        costs: dict[str, list[Cost]] = {name: [] for name in contestants}
        rows: dict[str, int] = {}
        for n in range(RUNS):
            for name, run in contestants.items():
                cost, rows[name] = run()
                costs[name].append(cost)
                say(f"  {n + 1}/{RUNS} {name}: {cost.wall:.2f} s, CPU {cost.client:.2f} + {cost.server:.2f} s")
        return {name: (median(costs[name]), rows[name]) for name in contestants}

    def table(self, results: dict[str, tuple[Cost, int]]) -> list[str]:
        """As markdown; ratios are of the time per row."""
        base, base_rows = results[self.limit]
        lines = [
            "| | seconds | rows/s | time, first = 1 | CPU s, client | CPU s, server |",
            "|---|--:|--:|--:|--:|--:|",
        ]
        for name, (cost, rows) in results.items():
            ratio = (cost.wall / rows) / (base.wall / base_rows)
            cpu = f"{cost.client:.2f} | {cost.server:.2f}"
            lines.append(f"| {name} | {cost.wall:.2f} | {rows / cost.wall:,.0f} | {ratio:.2f} | {cpu} |")
        return lines


def say(line: str) -> None:
    """Progress, beside the result."""
    sys.stderr.write(f"{line}\n")


def pgpipe(server: Server, lake: Path, *options: str) -> Cost:
    """One `pgpipe load`, as a process."""
    command = [sys.executable, "-m", "pgpipe", "-q", "load", "--source", f"file://{lake}", *options]
    return timed(server, command, {"DATABASE_URL": server.url})


def psql(server: Server, statement: str) -> Cost:
    """One statement through psql."""
    return timed(server, [str(server.bin / "psql"), "-X", "-q", "-d", server.url, "-c", statement], {})


def counted(server: Server, table: str, expected: int) -> int:
    """The rows of a table, which must be those expected."""
    found = server.run(f"select count(*) from {table}")[0][0]
    if found != expected:
        raise SystemExit(f"{table} holds {found} rows instead of {expected}")
    return int(found)


def emptied(server: Server, table: str) -> None:
    """Before each run."""
    server.run(f"truncate {table} cascade", "checkpoint")


def lineitem(server: Server, scale: str) -> list[str]:
    """Into the same existing table, and pgpipe also into one that it makes."""
    lake = lakes.lineitem(server.folder, scale)
    files = sorted(map(str, lake.rglob("*.parquet")))
    server.run("drop table if exists lineitem", lakes.LINEITEM)
    pgpipe(server, lake, "--mode", "append", "--skip-search", "--skip-embeddings")
    rows = server.run("select count(*) from lineitem")[0][0]
    binary, csv = server.folder / "lineitem.bin", server.folder / "lineitem.csv"
    server.run(f"copy lineitem to '{binary}' (format binary)", f"copy lineitem to '{csv}' (format csv)")
    contestants: dict[str, Callable[[], tuple[Cost, int]]] = {}

    def contestant(name: str, run: Callable[[], Cost], expected: int = rows) -> None:
        def once() -> tuple[Cost, int]:
            server.run("drop table if exists lineitem", lakes.LINEITEM, "checkpoint")
            cost = run()
            return cost, counted(server, "lineitem", expected)

        contestants[name] = once

    limit = "server-side `COPY FROM` binary file (the limit)"
    contestant(limit, lambda: psql(server, f"copy lineitem from '{binary}' (format binary)"))
    append = ("--mode", "append", "--skip-search", "--skip-embeddings")
    for jobs in JOBS:
        contestant(f"**pgpipe** --jobs {jobs}", lambda jobs=jobs: pgpipe(server, lake, *append, "--jobs", jobs))
    if wanted("psql", "PEERS"):
        contestant("psql `\\copy`, CSV made before", lambda: psql(server, f"\\copy lineitem from '{csv}' (format csv)"))
    for name in peers.PEERS:
        if wanted(name, "PEERS"):
            command = [sys.executable, "-m", "tests.bench.peers", name, server.url, "lineitem", *files]
            part = min(peers.SLICE.get(name, rows), rows)
            contestant(
                f"{name}, first {part:,} rows" if part < rows else name,
                lambda command=command: timed(server, command, {}),
                part,
            )
    contest = Contest(server, rows, limit)
    results = contest.run(contestants)
    results["pgpipe, first load: makes the table and its primary key"] = first_load(server, lake, rows)
    return [
        f"**TPC-H lineitem, scale {scale}: {rows:,} rows in {len(files)} Parquet files**, into a table without index.",
        "",
        *contest.table(results),
    ]


def first_load(server: Server, lake: Path, rows: int) -> tuple[Cost, int]:
    """Where there is no table yet."""
    costs = []
    for _ in range(RUNS):
        server.run("drop table if exists lineitem", "checkpoint")
        costs.append(pgpipe(server, lake, "--key", "l_orderkey,l_linenumber", "--skip-search", "--skip-embeddings"))
        counted(server, "lineitem", rows)
    return median(costs), rows


def prose(server: Server) -> list[str]:
    """With search column, GIN index and embedding triggers; then the same snapshot under later dates."""
    lake_url = os.environ.get("LAKE")
    entity = os.environ.get("ENTITY", "package" if lake_url else "doc")
    key = os.environ.get("KEY", "package" if lake_url else "name")
    copies = int(os.environ.get("COPIES", "4" if lake_url else "100"))
    lake = lakes.prose(server.folder, lake_url, entity, key, copies)
    options = ("--mode", "snapshot", "--key", key, "--entity", entity)
    first, second, third = (("--date", date) for date in (lakes.FIRST, lakes.SECOND, lakes.THIRD))
    pgpipe(server, lake, *options, *first)
    rows = server.run(f"select count(*) from {entity}")[0][0]
    jobs = server.run("select count(*) from pgpipe.job")[0][0]
    names = server.run(
        "select string_agg(quote_ident(attname), ',' order by attnum) from pg_attribute"
        f" where attrelid = '{entity}'::regclass and attnum > 0 and attgenerated = '' and not attisdropped"
    )[0][0]
    binary = server.folder / "prose.bin"
    server.run(f"copy {entity}({names}) to '{binary}' (format binary)")
    costs: dict[str, list[Cost]] = {}

    def once(name: str, cost: Cost) -> None:
        costs.setdefault(name, []).append(cost)
        say(f"  {name}: {cost.wall:.2f} s, CPU {cost.client:.2f} + {cost.server:.2f} s")
        counted(server, entity, rows)
        counted(server, "pgpipe.job", jobs)

    limit = "server-side `COPY FROM` binary file into the same table, one connection"
    for _ in range(RUNS):
        emptied(server, entity)
        once(limit, psql(server, f"copy {entity}({names}) from '{binary}' (format binary)"))
        server.run(f"select pgpipe.disable_embedding('{entity}')", f"drop table {entity} cascade", "checkpoint")
        once("**pgpipe**, first load", pgpipe(server, lake, *options, *first))
        once("**pgpipe**, next date: the same rows in other files", pgpipe(server, lake, *options, *second))
        server.run("checkpoint")
        once("**pgpipe**, date after that: 1 % of the rows changed", pgpipe(server, lake, *options, *third))
    results = {name: (median(found), rows) for name, found in costs.items()}
    what = f"{lake_url}, {copies} times" if lake_url else f"docstrings of the standard library, {copies} times"
    unchanged, changed = (
        results[name][0].wall / results["**pgpipe**, first load"][0].wall for name in list(results)[2:]
    )
    return [
        f"**Prose ({what}): {rows:,} rows**, with primary key, search column, GIN index and embedding triggers.",
        "",
        *Contest(server, rows, limit).table(results),
        "",
        f"Of the first load's time the unchanged snapshot took {unchanged:.2f}, with 1 % changed {changed:.2f}.",
    ]


def tiny(server: Server) -> list[str]:
    """Many small files against few large ones with the same rows."""
    scale = os.environ.get("SCALE", "0.3,1").split(",")[-1]
    count = int(os.environ.get("FILES", "50000"))
    source = server.folder / f"lineitem-{scale}"
    many, few, rows = lakes.tiny(
        server.folder, source if source.exists() else lakes.lineitem(server.folder, scale), count
    )
    append = ("--mode", "append", "--skip-search", "--skip-embeddings")

    def run(lake: Path) -> tuple[Cost, int]:
        server.run("drop table if exists lineitem", lakes.LINEITEM, "checkpoint")
        return pgpipe(server, lake, *append), counted(server, "lineitem", rows)

    contest = Contest(server, rows, "few")
    results = contest.run({"few": lambda: run(few), "many": lambda: run(many)})
    memory = results["many"][0].memory
    named = {f"{lakes.PARTS} files": results["few"], f"{count:,} files": results["many"]}
    return [
        f"**Tiny files: {rows:,} rows of lineitem, {rows // count} a file**; at the peak {memory >> 20} MB of memory.",
        "",
        *Contest(server, rows, f"{lakes.PARTS} files").table(named),
    ]


def group(server: Server) -> list[str]:
    """Memory of one huge row group."""
    size = int(float(os.environ.get("GROUP_GB", "2")) * (1 << 30))
    lake = lakes.huge(server.folder, size)
    cost = pgpipe(server, lake, "--skip-search", "--skip-embeddings")
    at_most = f"at the peak {cost.memory >> 20} MB of resident memory"
    return [f"**One row group of {size / (1 << 30):g} GB** uncompressed: {cost.wall:.1f} s, {at_most}."]


def main() -> None:
    """Measure what is asked for, print it, and put it into docs/benchmarks.md."""
    began = perf_counter()
    base = os.environ.get("BENCH_DIR") or tempfile.gettempdir()
    scales = os.environ.get("SCALE", "0.3,1").split(",")
    with machine.server(base) as server:
        command = [sys.executable, "-m", "pgpipe", "migrate"]
        timed(server, command, {"DATABASE_URL": server.url})
        work: dict[str, list[Callable[[], list[str]]]] = {
            "lineitem": [lambda scale=scale: lineitem(server, scale) for scale in scales],
            "prose": [lambda: prose(server)],
            "tiny": [lambda: tiny(server)],
            "group": [lambda: group(server)],
        }
        lines: list[str] = []
        for name, steps in work.items():
            for step in steps if wanted(name, "WORK") else []:
                say(f"{name}:")
                lines += [*step(), ""]
    busy = os.getloadavg()[2]
    lines.append(
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine.name()}, PostgreSQL 18 on the same machine (fsync on,"
        f" shared_buffers 1 GB), medians of {RUNS}, contestants in turns; load average {busy:.1f};"
        f" {perf_counter() - began:,.0f} s in all."
    )
    text = "\n".join(lines)
    sys.stdout.write(f"{text}\n")
    page = PAGE.read_text(encoding="utf-8")
    if BEGIN in page and not os.environ.get("WORK"):
        before, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
