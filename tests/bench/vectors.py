"""`make bench-vectors`: bytes, build and searches of the vector index in each precision, on vectors of the real model.

Knobs, by environment: ROWS (250000; a list), RUNS (2), REAL (20000 texts that are encoded: docstrings, and with LAKE
the descriptions of its packages), PRECISIONS, BENCH_DIR (keeps the encoded texts). All other vectors are mixed from
pairs of these. With other than the defaults the page is left alone.
"""

import os
import statistics
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np
import platformdirs
import pyarrow.parquet as pq
from pgvector import HalfVector
from pgvector.psycopg import register_vector

from pgpipe.db import Connection, Database
from pgpipe.embed.model.base import Vectors, load_model
from pgpipe.schema import migrate
from pgpipe.settings.model import DatabaseSettings, EmbeddingSettings
from tests.bench import articles, machine
from tests.bench.machine import Server

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- bench-vectors: written by `make bench-vectors` -->", "<!-- /bench-vectors -->"
SIZES = [int(size) for size in os.environ.get("ROWS", "250000").split(",")]
REAL = int(os.environ.get("REAL", "20000"))
PRECISIONS = os.environ.get("PRECISIONS", "full,half,bit").split(",")
QUESTIONS, K, RUNS = 100, 10, int(os.environ.get("RUNS", "2"))
TEN_MILLION = 10_000_000
TABLE = """
    create table item (
        id int primary key, title text not null, per_mille int not null, percent int not null, tenth int not null,
        half boolean not null);
"""
FILTERS = {
    "none": (None, "true"),
    "0.1 %": ('{"per_mille": 7}', "per_mille = 7"),
    "1 %": ('{"percent": 7}', "percent = 7"),
    "10 %": ('{"tenth": 7}', "tenth = 7"),
    "50 %": ('{"half": true}', "half"),
}
SEARCH = "select (key ->> 'id')::int from pgpipe.vector_search('item', %s, 10, %s)"
NEXT = """
    select d.memory, d.statement, d.step from pgpipe.embedding e, pgpipe_internal.vector_index(e.embedding_id) d
     where e.target = 'item'::regclass
"""
MEMORY = "select pgpipe_internal.index_memory(%s, %s, %s)"
INDEX_BYTES = "select sum(pg_relation_size(index))::bigint from pgpipe_internal.vector_indexes('item_embedding')"


def texts(folder: Path, lake: str | None) -> list[str]:
    """Sentences of docstrings, and descriptions of packages if a lake of them is named: each other, shuffled."""
    found = articles.sentences(folder)[:REAL]
    if lake:
        rows = [
            row for file in sorted(Path(lake).rglob("package/*.parquet")) for row in pq.read_table(file).to_pylist()
        ]
        order = np.random.default_rng(5).permutation(len(rows))
        about = [f"{rows[n]['summary']}\n{rows[n]['description']}"[:240] for n in order]
        found = [text for pair in zip(found, about, strict=False) for text in pair][:REAL]
    return found


def real(folder: Path) -> Vectors:
    """The vectors of the texts by the default model; kept in a file, so that a run that is broken off goes on."""
    kept = folder / "real.npy"
    made = [np.load(kept)] if kept.exists() else []
    done = len(made[0]) if made else 0
    if done < REAL:
        model, wanted = load_model(EmbeddingSettings()), texts(folder, os.environ.get("LAKE"))
        for start in range(done, len(wanted), 250):
            made.append(model.encode(wanted[start : start + 250]))
            np.save(kept, np.vstack(made))
    return np.vstack(made)[:REAL].astype(np.float32)


def mixed(given: Vectors, count: int) -> Vectors:
    """The given vectors, and between two of them, chosen by chance, as many others as there are to be: unit length."""
    rng = np.random.default_rng(3)
    left, right = rng.integers(0, len(given), (2, max(count - len(given), 0)))
    weight = rng.uniform(0.3, 0.7, (len(left), 1)).astype(np.float32)
    every = np.vstack([given, weight * given[left] + (1 - weight) * given[right]])[:count]
    return every / np.linalg.norm(every, axis=1, keepdims=True)


def fill(conn: Connection, vectors: Vectors, store_precision: str) -> None:
    """A target and its store, as a drain leaves them."""
    rng = np.random.default_rng(11)
    conn.execute("drop table if exists item cascade")
    conn.execute("select pgpipe_internal.drop_orphaned_embeddings()")
    conn.execute(TABLE)
    enable = "select pgpipe.enable_embedding('item', '{title}', 'model', %s, enqueue => false, store_precision => %s)"
    conn.execute(enable, (vectors.shape[1], store_precision))
    conn.execute("alter table item disable trigger user")
    columns = [rng.integers(0, most, len(vectors)).tolist() for most in (1000, 100, 10)]
    halves = (rng.random(len(vectors)) < 0.5).tolist()
    with conn.cursor().copy("copy item from stdin") as copy:
        for n, row in enumerate(zip(*columns, halves, strict=True)):
            copy.write_row((n, f"title {n}", *row))
    with conn.cursor().copy("copy item_embedding from stdin (format binary)") as copy:
        copy.set_types(
            ["int4", "int4", "int4", "int4", "bytea", "text", "vector" if store_precision == "full" else "halfvec"]
        )
        half = store_precision == "half"
        for n, vector in enumerate(vectors):
            copy.write_row((n, 0, 0, 1, b"", "model", HalfVector(vector) if half else vector))
    for name in ("per_mille", "percent", "tenth"):
        conn.execute(f"create index on item ({name}) include (id)")
    conn.execute("vacuum (analyze) item, item_embedding")


def build(server: Server, conn: Connection, precision: str) -> tuple[float, int, int]:
    """Seconds of the server's CPU, bytes of memory as known before, and bytes of the index."""
    conn.execute("select pgpipe.set_index_precision('item', %s)", (precision,))
    spent, memory = 0.0, 0
    while (row := conn.execute(NEXT).fetchone()) and row[1]:
        if row[2] == "build":
            memory = row[0]
            conn.execute("select set_config('maintenance_work_mem', %s, false)", (f"{memory >> 10}kB",))
            before = server.cpu()
            conn.execute(row[1])
            spent = server.cpu() - before
        else:
            conn.execute(row[1])
    return spent, memory, conn.execute(INDEX_BYTES).fetchone()[0]


def truth(conn: Connection, vectors: Vectors, asked: Vectors) -> dict[str, np.ndarray]:
    """By filter, the ten nearest to each question, by every distance in full: shape (questions, 10)."""
    near = {}
    likeness = asked @ vectors.T
    for name, (_filter, condition) in FILTERS.items():
        passing = np.array(conn.execute(f"select id from item where {condition} order by id").fetchall())[:, 0]
        best = np.argsort(-likeness[:, passing], axis=1)[:, :K]
        near[name] = passing[best]
    return near


def searches(conn: Connection, asked: Vectors, where: str | None, best: np.ndarray) -> tuple[float, float, float]:
    """Median milliseconds as the client sees them, mean milliseconds of the server's CPU, and recall at ten."""
    pid = conn.info.backend_pid
    questions = [str(vector.tolist()) for vector in asked]
    conn.execute(SEARCH, (questions[0], where)).fetchall()
    hits, spent, before = 0, [], machine._ticks(pid)
    for _run in range(RUNS):
        for question, ids in zip(questions, best, strict=True):
            begun = perf_counter()
            found = conn.execute(SEARCH, (question, where)).fetchall()
            spent.append((perf_counter() - begun) * 1000)
            hits += len({row[0] for row in found} & set(ids.tolist()))
    used = sum(machine._ticks(pid)[:2]) - sum(before[:2])
    return statistics.median(spent), 1000 * used / machine.TICKS / len(spent), hits / RUNS / best.size


def report(server: Server, conn: Connection, every: Vectors, asked: Vectors) -> Iterator[str]:
    """The tables of one size, line by line."""
    rows = len(every)
    yield f"**{rows:,} vectors of {every.shape[1]} dimensions**"
    yield ""
    fill(conn, every, "half")
    store = {"half": conn.execute("select pg_relation_size('item_embedding')").fetchone()[0]}
    fill(conn, every, "full")
    store["full"] = conn.execute("select pg_relation_size('item_embedding')").fetchone()[0]
    near = truth(conn, every, asked)
    built, found = {}, []
    for precision in PRECISIONS:
        built[precision] = build(server, conn, precision)
        sys.stderr.write(f"{precision}: {built[precision]}\n")
        for name, (where, _condition) in FILTERS.items():
            found.append((precision, name, *searches(conn, asked, where, near[name])))
        conn.execute("select pgpipe.enable_filters('item', '{percent}')")
        found.append((precision, "1 %, filter table", *searches(conn, asked, FILTERS["1 %"][0], near["1 %"])))
        conn.execute("select pgpipe.disable_filters('item')")
        sys.stderr.write("".join(f"{each}\n" for each in found if each[0] == precision))
    yield "| | bytes a vector | 10 million, GB | build, s of CPU | ratio | memory of a build of 10 million, GB |"
    yield "|---|--:|--:|--:|--:|--:|"
    for precision, size in store.items():
        yield f"| store, {precision} | {size / rows:,.0f} | {size / rows * TEN_MILLION / 1e9:.1f} | | | |"
    whole = built.get("full", (0.0, 0, 0))[0]
    for precision, (seconds, _memory, size) in built.items():
        needed = conn.execute(
            "select pgpipe_internal.index_memory(%s, %s, %s)", (TEN_MILLION, every.shape[1], precision)
        )
        yield (
            f"| index, {precision} | {size / rows:,.0f} | {size / rows * TEN_MILLION / 1e9:.1f} | {seconds:.0f} |"
            f" {seconds / whole if whole else float('nan'):.2f} | {needed.fetchone()[0] / 1e9:.1f} |"
        )
    yield ""
    yield "| index | filter | p50, ms | CPU of the server, ms | recall at 10 |"
    yield "|---|---|--:|--:|--:|"
    for precision, name, wall, cpu, recall in found:
        yield f"| {precision} | {name} | {wall:.1f} | {cpu:.1f} | {recall:.3f} |"
    yield ""


def main() -> None:
    """Measure, print, and write the page."""
    folder = Path(os.environ.get("BENCH_DIR") or platformdirs.user_cache_path("pgpipe") / "bench")
    folder.mkdir(parents=True, exist_ok=True)
    given = real(folder)
    stored, asked = given[:-QUESTIONS], given[-QUESTIONS:]
    lines = []
    with machine.server(os.environ.get("SERVER_DIR")) as server:
        database = Database(DatabaseSettings(url=server.url))
        migrate(database)
        with database.connect(autocommit=True) as conn:
            register_vector(conn)
            for rows in SIZES:
                for line in report(server, conn, mixed(stored, rows), asked):
                    sys.stdout.write(f"{line}\n")
                    sys.stdout.flush()
                    lines.append(line)
    lines.append(
        f"{len(given):,} vectors are of real texts by {EmbeddingSettings().model}: {QUESTIONS} are the questions, the"
        " others are stored. All other vectors lie between two of them. m is 16. Ten million take ten million times"
        " the bytes of a vector, and the memory is what pgpipe_internal.index_memory says."
        f" Measured {datetime.now(UTC):%Y-%m-%d} on {machine.name()}, PostgreSQL 18 on the same machine; load average"
        f" {os.getloadavg()[2]:.1f}."
    )
    sys.stdout.write(f"{lines[-1]}\n")
    if "PRECISIONS" not in os.environ:
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        PAGE.write_text("\n".join([f"{before}{BEGIN}", *lines, f"{END}{rest.partition(END)[2]}"]), encoding="utf-8")


if __name__ == "__main__":
    main()
