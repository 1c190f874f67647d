"""`make bench-embed`: the daemon, from queue to stored vector, against bare `model.encode`; backends against torch.

Knobs, by environment: ROWS (1000 docstrings of the standard library), RUNS (5), BACKENDS (comma list), MODEL, DEVICE
(automatic), BATCH (the daemon's), QUERIES (100), CACHE (folder of exported models), BENCH_DIR (for the server). With
other than the defaults the page is left alone.
"""

import os
import statistics
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from pgpipe.db import Database
from pgpipe.demo.lake import documented
from pgpipe.embed.model.base import Vectors, load_model
from pgpipe.embed.model.sentence import SentenceModel
from pgpipe.embed.worker import Worker
from pgpipe.schema import migrate
from pgpipe.settings.model import DatabaseSettings, EmbeddingSettings, IndexSettings
from tests.bench import machine
from tests.bench.machine import Server

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- bench-embed: written by `make bench-embed` -->", "<!-- /bench-embed -->"
ROWS = int(os.environ.get("ROWS", "1000"))
RUNS = int(os.environ.get("RUNS", "5"))
QUERIES = int(os.environ.get("QUERIES", "100"))
BACKENDS = os.environ.get("BACKENDS", "torch,onnx,onnx-int8,openvino").split(",")


@dataclass
class Backend:
    """A loaded backend, and what was measured of it, a value a run."""

    settings: EmbeddingSettings
    model: SentenceModel
    bare: list[float] = field(default_factory=list)  # seconds
    daemon: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)  # the share of the daemon's CPU time that the bare model used
    vectors: Vectors | None = None
    queries: Vectors | None = None

    @property
    def ratio(self) -> float:
        """Daemon's throughput as a share of the bare model's, the median of runs that follow each other."""
        return statistics.median(b / d for b, d in zip(self.bare, self.daemon, strict=True))


def say(line: str) -> None:
    """To stderr, at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def load(backend: str) -> Backend:
    """The model on this backend; exported where need be."""
    given = {"model": os.environ.get("MODEL"), "device": os.environ.get("DEVICE"), "cache_dir": os.environ.get("CACHE")}
    options = {name: value for name, value in given.items() if value}
    batch = int(os.environ["BATCH"]) if "BATCH" in os.environ else EmbeddingSettings().batch
    settings = EmbeddingSettings.model_validate(
        {"backend": backend, "batch": batch, "index": IndexSettings(kind="none"), **options}
    )
    model = load_model(settings)
    assert isinstance(model, SentenceModel)
    return Backend(settings, model)


def bare(backend: Backend, texts: list[str]) -> float:
    """Seconds of the library's own call, which sorts the texts by length; nothing is stored."""
    library, size = backend.model._model, backend.model.batch_size
    begun = perf_counter()
    backend.vectors = library.encode(texts, batch_size=size, normalize_embeddings=True, show_progress_bar=False)
    return perf_counter() - begun


def refill(server: machine.Server) -> None:
    """Every row waits for its vector again."""
    server.run(
        "truncate doc_embedding",
        "delete from pgpipe.job",
        "select pgpipe_internal.enqueue_all(embedding_id) from pgpipe.embedding",
        "vacuum analyze pgpipe.job",
        "checkpoint",
    )


def daemon(backend: Backend, server: machine.Server, rows: int) -> float:
    """Seconds of a worker in this process, from a full queue to an empty one, every vector stored."""
    worker = Worker(Database(DatabaseSettings(url=server.url)), backend.settings, load=lambda _: backend.model)
    begun = perf_counter()
    worker.drain()
    seconds = perf_counter() - begun
    stored = server.run("select count(distinct id) from doc_embedding")
    left = server.run("select count(*) from pgpipe.job")
    assert (stored[0][0], left[0][0]) == (rows, 0), (stored, left, worker.totals)
    return seconds


def cpu(server: machine.Server) -> float:
    """Seconds of CPU that this process and the server have used."""
    return process_time() + server.cpu()


def prepare(server: machine.Server, model: SentenceModel, texts: list[str]) -> None:
    """A target with the texts, and its embedding declared."""
    migrate(Database(DatabaseSettings(url=server.url)))
    with Database(DatabaseSettings(url=server.url)).connect(autocommit=True) as conn:
        conn.execute("create table doc (id int primary key, text text)")
        with conn.cursor().copy("copy doc from stdin") as copy:
            for n, text in enumerate(texts):
                copy.write_row((n, text))
        declare = "select pgpipe.enable_embedding('doc', columns => '{text}', model => %s, dims => %s)"
        conn.execute(declare, (model.name, model.dims))


def overlap(one: Backend, other: Backend) -> float:
    """Share of the ten nearest texts of each query that both agree on, each with its own vectors and queries."""
    tops = [np.argsort(-(b.queries @ b.vectors.T), axis=1)[:, :10] for b in (one, other)]  # type: ignore[union-attr]
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(*tops, strict=True)]))


def table(backends: dict[str, Backend], texts: int) -> list[str]:
    """As markdown."""
    lines = [
        "| backend | `encode`, texts/s | pgpipe, texts/s | ratio | of CPU | torch = 1 | cosine, worst | top 10 |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    first = next(iter(backends.values()))
    for name, b in backends.items():
        cosine = np.sum(b.vectors * first.vectors, axis=1)  # type: ignore[operator]
        cells = [
            name,
            f"{texts / statistics.median(b.bare):,.0f}",
            f"{texts / statistics.median(b.daemon):,.0f}",
            f"{b.ratio:.2f}",
            f"{statistics.median(b.cpu):.2f}",
            f"{statistics.median(x / y for x, y in zip(first.bare, b.bare, strict=True)):.2f}",
            f"{cosine.mean():.4f}, {cosine.min():.4f}",
            f"{overlap(first, b):.0%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def measure(server: Server, run: int, name: str, backend: Backend, texts: list[str], pieces: list[str]) -> None:
    """One round of one backend: the bare library and the daemon, in turns."""
    used: dict[str, float] = {}
    # Who comes first changes, so that a machine which slows down harms both.
    for what in ("encode", "pgpipe") if run % 2 == 0 else ("pgpipe", "encode"):
        refill(server)
        before = cpu(server)
        if what == "encode":
            backend.bare.append(bare(backend, pieces))
        else:
            backend.daemon.append(daemon(backend, server, len(texts)))
        used[what] = cpu(server) - before
    backend.cpu.append(used["encode"] / used["pgpipe"])
    b, d, c = backend.bare[-1], backend.daemon[-1], backend.cpu[-1]
    say(f"  {run + 1}/{RUNS} {name}: encode {b:.2f} s, pgpipe {d:.2f} s, ratio {b / d:.3f}, of CPU {c:.3f}")


def main() -> None:
    """Measure in turns, print, and put the table into docs/benchmarks.md."""
    # A text twice is encoded once, which would flatter the daemon.
    docs = (f"{row['name']}\n{row['summary']}\n{row['doc']}".strip() for _, row in documented())
    texts = list(islice(dict.fromkeys(docs), ROWS))
    backends = {name: load(name) for name in BACKENDS}
    first = next(iter(backends.values()))
    pieces = list(dict.fromkeys(text[a:b] for text in texts for a, b in first.model.split(text)))
    questions = [
        text.partition("\n")[2].partition("\n")[0] or text[:100] for text in texts[:: max(len(texts) // QUERIES, 1)]
    ]
    with machine.server(os.environ.get("BENCH_DIR")) as server:
        prepare(server, first.model, texts)
        for name, backend in backends.items():
            backend.queries = backend.model.encode_query(questions[:QUERIES])
            backend.model.encode(texts[:256])
            say(f"{name}: {backend.model.device}, {len(texts):,} texts in {len(pieces):,} pieces")
        for run in range(RUNS):
            for name, backend in backends.items():
                measure(server, run, name, backend, texts, pieces)
    what = (
        f"{len(texts):,} docstrings of Python's library in {len(pieces):,} pieces; `{first.model.name}` on"
        f" {first.model.device}. Cosine (mean, worst) and shared top 10 of {QUERIES} queries: to {BACKENDS[0]}."
        f" Medians of {RUNS} runs in turns. Measured {datetime.now(UTC):%Y-%m-%d} on {machine.name()}, PostgreSQL 18 on"
        f" the same machine; load average {os.getloadavg()[2]:.1f}."
    )
    lines = [*table(backends, len(pieces)), "", what]
    text = "\n".join(lines)
    sys.stdout.write(f"{text}\n")
    if {"ROWS", "BACKENDS", "MODEL", "DEVICE", "BATCH"}.isdisjoint(os.environ) and BEGIN in PAGE.read_text(
        encoding="utf-8"
    ):
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
