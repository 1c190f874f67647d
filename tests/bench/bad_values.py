"""`make bench-bad-values`: what looking for bad values costs a load that has none, and one that has some.

Knobs, by environment: SCALE (of TPC-H, 0.1), RUNS (5), LAKE, ENTITY, KEY and COPIES (of the prose), BENCH_DIR.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.bench import lakes, machine
from tests.bench.load import Contest, counted, emptied, say
from tests.bench.machine import Cost, Server, timed

DOCS = Path(__file__).parents[2] / "docs/loading.md"
BEGIN, END = "<!-- bench-bad-values -->", "<!-- /bench-bad-values -->"
ONE_IN = 1000
# The same command line with the checks taken out: what a load would cost that trusts its files.
UNCHECKED = "import pgpipe.load.rows.convert as c; c._check = lambda *_: None; from pgpipe.cli import main; main()"


def load(server: Server, lake: Path, policy: str | None) -> Cost:
    """One `pgpipe load` that appends; without a policy, without checks."""
    entity = next(next(lake.iterdir()).iterdir()).name
    program = ["-m", "pgpipe"] if policy else ["-c", UNCHECKED]
    options = ["--mode", "append", "--skip-search", "--skip-embeddings", "--source", f"file://{lake}"]
    settings = {
        f"PGPIPE_ENTITY__{entity.upper()}__BAD_VALUES": policy or "error",
        f"PGPIPE_ENTITY__{entity.upper()}__MAX_REJECTED": "1000000",
    }
    return timed(server, [sys.executable, *program, "-q", "load", *options], {"DATABASE_URL": server.url} | settings)


def written(lake: Path, name: str, *, spoiled: bool) -> Path:
    """The same lake written anew, on request with a NUL in a text of one row in ONE_IN."""
    to = lake.with_name(name)
    for file in lake.rglob("*.parquet"):
        rows = pq.read_table(file)
        name = next(f.name for f in reversed(list(rows.schema)) if f.type in {pa.string(), pa.string_view()})
        plain = rows[name].cast(pa.string())
        chosen = pa.array([spoiled and n % ONE_IN == 0 for n in range(len(rows))])
        bad = pc.if_else(chosen, "bad\0", plain)
        target = to / file.relative_to(lake)
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows.set_column(rows.column_names.index(name), name, bad), target)
    return to


def contest(server: Server, lake: Path) -> list[str]:
    """A lake with and without checks, and one with bad values."""
    entity = next(next(lake.iterdir()).iterdir()).name
    lake = written(lake, "clean", spoiled=False)
    load(server, lake, "error")
    rows = server.run(f"select count(*) from {entity}")[0][0]
    bad = written(lake, "spoiled", spoiled=True)
    files = len(list(lake.rglob("*.parquet")))
    kept = rows - sum(-(-pq.read_metadata(f).num_rows // ONE_IN) for f in lake.rglob("*.parquet"))

    def contestant(source: Path, policy: str | None, expected: int) -> Callable[[], tuple[Cost, int]]:
        def once() -> tuple[Cost, int]:
            emptied(server, entity)
            return load(server, source, policy), counted(server, entity, expected) and rows

        return once

    runs = {
        "clean files, no checks at all": contestant(lake, None, rows),
        "clean files, `error`": contestant(lake, "error", rows),
        "clean files, `reject`": contestant(lake, "reject", rows),
        f"one bad text in {ONE_IN:,}, `strip`": contestant(bad, "strip", rows),
        f"one bad text in {ONE_IN:,}, `reject`": contestant(bad, "reject", kept),
    }
    results = Contest(server, rows, next(iter(runs))).run(runs)
    base = next(iter(results.values()))[0]
    lines = [
        f"**{entity}**, {rows:,} rows in {files} files:",
        "",
        "| | seconds | CPU s | CPU, first = 1 |",
        "|---|--:|--:|--:|",
    ]
    for name, (cost, _) in results.items():
        used = cost.client + cost.server
        lines.append(f"| {name} | {cost.wall:.2f} | {used:.2f} | {used / (base.client + base.server):.2f} |")
    for folder in (lake, bad):
        lakes.remove(folder)
    return [*lines, ""]


def main() -> None:
    """Measure, print, and put it into docs/loading.md."""
    with machine.server(os.environ.get("BENCH_DIR") or tempfile.gettempdir()) as server:
        timed(server, [sys.executable, "-m", "pgpipe", "migrate"], {"DATABASE_URL": server.url})
        say("lineitem:")
        lines = contest(server, lakes.lineitem(server.folder, os.environ.get("SCALE", "0.1")))
        say("prose:")
        entity, key = os.environ.get("ENTITY", "docstring"), os.environ.get("KEY", "name")
        whole = lakes.prose(server.folder, os.environ.get("LAKE"), entity, key, int(os.environ.get("COPIES", "20")))
        for later in sorted(whole.iterdir())[1:]:
            lakes.remove(later)
        lines += contest(server, whole)
    busy = os.getloadavg()[2]
    lines.append(
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine.name()}, medians, in turns; load average {busy:.1f}."
    )
    text = "\n".join(lines)
    sys.stdout.write(f"{text}\n")
    before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
    DOCS.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
