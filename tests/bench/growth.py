"""`make bench-growth`: what each kind of work costs as a table grows, with the ratio to the row before.

Knobs, by environment: ROWS (100000,1000000), DIMS (64), BENCH_DIR (keeps the sentences), SERVER_DIR (for the server).
Figures are processor time of client and server, so that a busy machine changes them little.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import platformdirs
import pyarrow as pa
import pyarrow.parquet as pq

from pgpipe.db import Connection, Database
from pgpipe.embed import index, queue
from pgpipe.embed.model.base import Vectors
from pgpipe.embed.worker import Worker
from pgpipe.schema import migrate
from pgpipe.settings.model import DatabaseSettings, EmbeddingSettings, IndexSettings
from tests.bench import articles, machine
from tests.bench.machine import Server, timed

SIZES = [int(size) for size in os.environ.get("ROWS", "100000,1000000").split(",")]
DIMS = int(os.environ.get("DIMS", "64"))
QUESTIONS = 50
DATES = ("2026-01-01", "2026-01-02")
CONFIGURATION = """
[entity.article]
key = ["id"]
embed = false
search = { columns = { title = "A", body = "B" } }
"""
SEARCHES = {
    "text, rare": "select * from pgpipe.text_search('article', %(rare)s, 10)",
    "text, common": "select * from pgpipe.text_search('article', %(common)s, 10)",
    "vector": "select * from pgpipe.vector_search('article', %(vector)s, 10)",
    "hybrid": "select * from pgpipe.hybrid_search('article', %(rare)s, %(vector)s, 10)",
}
WORDS = """
    select array_agg(l.lexeme order by l.documents) filter (where l.documents between 2 and s.documents / 1000),
           (array_agg(l.lexeme order by l.documents desc))[1:30]
      from pgpipe.lexeme l join pgpipe.search s using (target) where l.lexeme ~ '^[a-z]{4,}$'
"""
BYTES = """
    select coalesce(sum(pg_relation_size(i.indexrelid)), 0)::float8 from pg_index i
     where i.indrelid in ('article'::regclass, to_regclass('article_embedding'))
"""


class Hashed:
    """A model that takes next to no time: the vector of a text is drawn by its hash."""

    name = "none"
    dims = DIMS

    def split(self, text: str, size: int | None = None, overlap: int = 0) -> list[tuple[int, int]]:  # noqa: ARG002
        return [(0, len(text))]

    def encode(self, texts: list[str]) -> Vectors:
        seeds = (int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") for text in texts)
        return np.stack([np.random.default_rng(seed).standard_normal(self.dims, np.float32) for seed in seeds])


def write_lake(folder: Path, lines: list[str], rows: int) -> None:
    """The same rows on both dates."""
    for date in DATES:
        (folder / date / "article").mkdir(parents=True)
        made = articles.rows(lines, rows)
        names = ("id", "title", "body", "per_mille", "percent", "half")
        batches = (pa.table(dict(zip(names, zip(*batch, strict=True), strict=True))) for batch in made)
        first = next(batches)
        with pq.ParquetWriter(folder / date / "article" / "part-0.parquet", first.schema) as writer:
            for batch in (first, *batches):
                writer.write_table(batch)
        (folder / date / "_SUCCESS").touch()


def work(server: Server, run: Callable[[], Any]) -> float:
    """Processor seconds of this process and the server while it runs."""
    before = process_time() + server.cpu()
    run()
    return process_time() + server.cpu() - before


def loads(server: Server, folder: Path) -> dict[str, float]:
    """The first load of all rows, and one of a date on which nothing changed."""
    (folder / "pgpipe.toml").write_text(CONFIGURATION)
    environment = {"PGPIPE_SOURCE__URL": f"file://{folder / 'lake'}", "PGPIPE_DATABASE__URL": server.url}
    command = [sys.executable, "-m", "pgpipe", "--config", str(folder / "pgpipe.toml"), "load", "--date"]
    spent = {}
    for name, date in zip(("load, s", "unchanged load, s"), DATES, strict=True):
        cost = timed(server, [*command, date], environment)
        spent[name] = cost.client + cost.server
    return spent


def embed(server: Server, database: Database, conn: Connection) -> dict[str, float]:
    """The queue of all rows worked off, and the vector index."""
    conn.execute("select pgpipe.enable_embedding('article', '{title}', 'none', %s)", (DIMS,))
    settings = EmbeddingSettings(model="none", index=IndexSettings(kind="none"))
    spent = {"drain, s": work(server, lambda: Worker(database, settings, load=lambda _: Hashed()).drain())}
    embedding = queue.embeddings(conn)[0]
    spent["vector index, s"] = work(server, lambda: index.build(database, embedding, IndexSettings()))
    return spent


def ask(conn: Connection) -> dict[str, float]:
    """Milliseconds of the server's processor for a search of each kind, the mean of the questions."""
    conn.execute("select pgpipe.refresh_search('article')")
    conn.execute("vacuum (analyze) article, article_embedding")
    rare, common = conn.execute(WORDS).fetchone()
    rng, pid, spent = np.random.default_rng(23), conn.info.backend_pid, {}
    asked = [
        {
            "rare": " ".join(rng.choice(rare, 3)),
            "common": " ".join(rng.choice(common, 2, replace=False)),
            "vector": str(rng.standard_normal(DIMS, np.float32).tolist()),
        }
        for _ in range(QUESTIONS)
    ]
    for name, statement in SEARCHES.items():
        conn.execute(statement, asked[0]).fetchall()
        before = sum(machine._ticks(pid)[:2])
        for question in asked:
            conn.execute(statement, question).fetchall()
        spent[f"{name}, ms"] = 1000 * (sum(machine._ticks(pid)[:2]) - before) / machine.TICKS / QUESTIONS
    return spent


def measure(folder: Path, rows: int) -> dict[str, float]:
    """All figures of one size, on a server of its own."""
    with machine.server(os.environ.get("SERVER_DIR")) as server, tempfile.TemporaryDirectory() as scratch:
        database = Database(DatabaseSettings(url=server.url))
        migrate(database)
        write_lake(Path(scratch) / "lake", articles.sentences(folder), rows)
        figures = loads(server, Path(scratch))
        with database.connect(autocommit=True) as conn:
            figures |= embed(server, database, conn) | ask(conn)
            figures["indexes, MB"] = conn.execute(BYTES).fetchone()[0] / 1e6
        return figures


def main() -> None:
    """Print the table: each figure, and its ratio to that of the row before."""
    folder = Path(os.environ.get("BENCH_DIR") or platformdirs.user_cache_path("pgpipe") / "bench")
    folder.mkdir(parents=True, exist_ok=True)
    before: dict[str, float] = {}
    for rows in SIZES:
        figures = {"rows": float(rows)} | measure(folder, rows)
        if not before:
            sys.stdout.write(f"| {' | '.join(figures)} |\n|{'--:|' * len(figures)}\n")
        shown = [f"{v:,.0f}" if v >= 100 else f"{v:.1f}" for v in figures.values()]
        if before:
            ratios = [v / before[n] if before[n] else float("nan") for n, v in figures.items()]
            shown = [f"{value} ({ratio:.1f} times)" for value, ratio in zip(shown, ratios, strict=True)]
        sys.stdout.write(f"| {' | '.join(shown)} |\n")
        sys.stdout.flush()
        before = figures
    sys.stdout.write(
        f"Processor time of client and server. Measured {datetime.now(UTC):%Y-%m-%d} on {machine.name()}, PostgreSQL 18"
        f" on the same machine; load average {os.getloadavg()[2]:.1f}.\n"
    )


if __name__ == "__main__":
    main()
