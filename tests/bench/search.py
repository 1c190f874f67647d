"""`make bench-search`: how long searches of a large table take, and how much of the best they find.

The tables go into docs/ranking.md, or the file that DOCS names; those of what features cost into docs/benchmarks.md, or
the file that PRICES names. A built table of a million rows takes some 8 minutes.
"""

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import psycopg
from psycopg import sql

from pgpipe.db import Connection, Database
from tests.bench import articles, machine, prices

BEGIN, END = "<!-- figures of make bench-search -->", "<!-- end of the figures -->"
QUESTIONS = 100  # of each kind
PER_CLIENT = {1: 200, 8: 50}  # requests, after every question was asked once
READ_WHOLE = 10  # questions of a kind that are also answered by reading every row with one of their words
WARM = "select count(search), (select count(vector) from article_embedding) from article"
FILTERS = {"none": None, "0.1 %": '{"per_mille": 7}', "1 %": '{"percent": 7}', "50 %": '{"half": true}'}
NOT_KEPT = ", not kept"  # the same filter where no filter table serves
CONDITIONS = {"none": "true", "0.1 %": "per_mille = 7", "1 %": "percent = 7", "50 %": "half"}
SEARCH = {
    "text": "select * from pgpipe.text_search('article', %(text)s, 10, %(filter)s)",
    "vector": "select * from pgpipe.vector_search('article', %(vector)s, 10, %(filter)s)",
    "hybrid": "select * from pgpipe.hybrid_search('article', %(text)s, %(vector)s, 10, %(filter)s)",
}
SERVES = "update pgpipe.embedding set filter_error = %s"
KNOWN_WORDS = """
    select w.word, l.documents from unnest(%s::text[]) w (word)
      join pgpipe.lexeme l on l.target = 'article'::regclass and l.lexeme = (ts_lexize('english_stem', w.word))[1]
"""
BEST_BY_WORDS = """
    select pgpipe_internal.rank_statement(
               s, '{id}', format('row.search @@ %%L and %%s', coalesce(
                   w.required, pgpipe_internal.any_word(w.probes)), %s::text), w.words, w.idf)
      from pgpipe.search s cross join pgpipe_internal.weigh_words('article', %s, false) w
     where s.target = 'article'::regclass and w.probes is not null
"""
KINDS = (
    "rare words",
    "one to three words",
    "one common word",
    "two common words",
    "three common words",
    "two common words and a rarer one",
    "phrases",
    "ordinary",
    "ten common words",
)
Cell = tuple[str, str, str]  # mode, kind of question, filter
CELLS: list[Cell] = [
    *(("text", kind, "none") for kind in KINDS),
    *(("text", "ordinary", f) for f in FILTERS if f != "none"),
    *(("text", "two common words", f) for f in ("1 %", "50 %")),
    *(("vector", "", f) for f in FILTERS),
    *(("vector", "", f + NOT_KEPT) for f in ("0.1 %", "1 %")),
    *(("hybrid", "ordinary", f) for f in FILTERS),
    ("hybrid", "ordinary", "1 %" + NOT_KEPT),
    ("hybrid", "ten common words", "none"),
]


@dataclass(frozen=True)
class Bench:
    """A database with articles, and what is asked of it."""

    database: Database
    rows: int
    texts: dict[str, list[str]]
    vectors: np.ndarray  # shape (questions, dims)

    def requests(self, cell: Cell) -> list[dict[str, Any]]:
        """The parameters of every question of a cell."""
        _mode, kind, where = cell
        texts = self.texts[kind or "ordinary"]
        vectors = [str(v.tolist()) for v in self.vectors]
        where = FILTERS[where.removesuffix(NOT_KEPT)]
        return [{"text": t, "vector": v, "filter": where} for t, v in zip(texts, vectors, strict=True)]


def questions(conn: Connection, lines: list[str]) -> dict[str, list[str]]:
    """Words of every frequency, of the hundred most common ones, two in a row, and whole sentences."""
    rng = np.random.default_rng(23)
    words = Counter(w for line in lines for w in set(re.findall(r"[a-z]{3,}", line.lower())))
    known = sorted(conn.execute(KNOWN_WORDS, (list(words),)).fetchall(), key=lambda row: (-row[1], row[0]))
    total = conn.execute("select documents from pgpipe.search where target = 'article'::regclass").fetchone()
    rare = [w for w, documents in known if documents < total[0] / 1000]
    common: dict[float, str] = {}
    for word, documents in known:  # one form of each lexeme
        common.setdefault(documents, word)
    hundred = list(common.values())[:100]
    every = [w for w, _ in known]
    by_rank = 1 / np.arange(1, len(every) + 1)  # as often as people ask: the first as often as the next two
    by_rank /= by_rank.sum()
    asked = [line.split() for line in rng.choice(lines, QUESTIONS * 3) if len(line.split()) >= 8][:QUESTIONS]
    return {
        "rare words": [" ".join(rng.choice(rare, 3)) for _ in range(QUESTIONS)],
        "one to three words": [" ".join(rng.choice(every, 1 + n % 3, p=by_rank)) for n in range(QUESTIONS)],
        "one common word": list(rng.permutation(hundred)),
        "two common words": [" ".join(rng.choice(hundred, 2, replace=False)) for _ in range(QUESTIONS)],
        "three common words": [" ".join(rng.choice(hundred, 3, replace=False)) for _ in range(QUESTIONS)],
        "two common words and a rarer one": [
            " ".join([*rng.choice(hundred, 2, replace=False), rng.choice(every)]) for _ in range(QUESTIONS)
        ],
        "phrases": [f'"{plain(line[n % 5 : n % 5 + 2])}"' for n, line in enumerate(asked)],
        "ordinary": [plain(line[: rng.integers(4, 9)]) for line in asked],
        "ten common words": [" ".join(rng.choice(hundred, 10, replace=False)) for _ in range(QUESTIONS)],
    }


def plain(words: list[str]) -> str:
    """Words of a sentence as a question, without what would be read as an operator."""
    return " ".join(re.sub(r"^-+|[\"*]", "", w) for w in words)


def latency(bench: Bench, cell: Cell, clients: int) -> tuple[float, float]:
    """Milliseconds of a request as the client sees it, median and 99th percentile, with so many clients at once."""
    requests = bench.requests(cell)

    def client(number: int) -> list[float]:
        spent = []
        with bench.database.connect(autocommit=True) as conn:
            conn.execute(SEARCH[cell[0]], requests[0]).fetchall()  # what a connection does once
            for n in range(PER_CLIENT[clients]):
                started = time.perf_counter()
                conn.execute(SEARCH[cell[0]], requests[(number * 13 + n) % len(requests)]).fetchall()
                spent.append((time.perf_counter() - started) * 1000)
        return spent

    with ThreadPoolExecutor(clients) as pool:
        spent = [ms for each in pool.map(client, range(clients)) for ms in each]
    return float(np.percentile(spent, 50)), float(np.percentile(spent, 99))


def nearest(conn: Connection, bench: Bench) -> dict[str, np.ndarray]:
    """By filter, the ids of the ten rows truly nearest to each question, from every distance: shape (questions, 10)."""
    passing = {}
    for where, condition in CONDITIONS.items():
        passing[where] = np.zeros(bench.rows, dtype=bool)
        statement = sql.SQL("select array_agg(id) from article where {}").format(sql.SQL(condition))
        passing[where][conn.execute(statement).fetchone()[0]] = True
    ids = {where: np.full((QUESTIONS, 10), -1) for where in FILTERS}
    likeness = {where: np.full((QUESTIONS, 10), -2, dtype=np.float32) for where in FILTERS}  # below any
    for number, batch in enumerate(articles.vectors(bench.rows, bench.vectors.shape[1], articles.STORED)):
        start = number * articles.BATCH
        products = bench.vectors @ batch.T  # all are of length 1
        for where in FILTERS:
            these = np.flatnonzero(passing[where][start : start + len(batch)])
            merged = np.hstack([likeness[where], products[:, these]])
            among = np.hstack([ids[where], np.broadcast_to(these + start, (QUESTIONS, len(these)))])
            best = np.argpartition(-merged, 9, axis=1)[:, :10]
            likeness[where], ids[where] = (np.take_along_axis(each, best, axis=1) for each in (merged, among))
    return ids


def vector_recall(conn: Connection, bench: Bench, where: str, best: np.ndarray) -> float:
    """The share of the ten truly nearest rows that vector_search returns."""
    found = 0
    for parameters, ids in zip(bench.requests(("vector", "", where)), best, strict=True):
        found += len({row[0]["id"] for row in conn.execute(SEARCH["vector"], parameters)} & set(ids.tolist()))
    return found / best.size


def text_quality(conn: Connection, bench: Bench, kind: str, where: str) -> tuple[float, float]:
    """Share of the ten best rows that text_search returns, and the sum of its scores over that of the ten best.

    A row counts as one of the best if its score is at least that of the tenth.
    """
    found = total = got = best = 0.0
    for text in bench.texts[kind][:READ_WHOLE]:
        asked = conn.execute(BEST_BY_WORDS, (CONDITIONS[where], text)).fetchone()
        if not asked:  # nothing but stop words
            continue
        # Every row is ranked, none left out.
        _keys, scores = psycopg.RawCursor(conn).execute(asked[0], (1 << 30, 1 << 30, 10, [])).fetchone()
        if not scores:
            continue
        ranked = "select score from pgpipe_internal.rank_text('article', %s, 10, %s)"
        answer = [score for (score,) in conn.execute(ranked, (text, FILTERS[where]))]
        found, total = found + sum(score >= scores[-1] * (1 - 1e-9) for score in answer), total + len(scores)
        got, best = got + sum(answer), best + sum(scores)
    return found / total, got / best


def report(bench: Bench) -> Iterator[str]:
    """The tables, line by line."""
    yield f"**{bench.rows:,} rows, {bench.vectors.shape[1]} dimensions:**"
    yield ""
    yield "| mode | questions | filter | p50, 1 client | p99 | p50, 8 clients | p99 |"
    yield "|---|---|---|--:|--:|--:|--:|"
    for cell in CELLS:
        with bench.database.connect(autocommit=True) as conn:
            conn.execute(SERVES, ("measured without" if cell[2].endswith(NOT_KEPT) else None,))
            for parameters in bench.requests(cell):
                conn.execute(SEARCH[cell[0]], parameters)
        figures = [ms for clients in PER_CLIENT for ms in latency(bench, cell, clients)]
        yield f"| {' | '.join(cell)} | {' | '.join(f'{ms:.1f} ms' for ms in figures)} |"
    yield ""
    yield "| found of the best ten | share | scores |"
    yield "|---|--:|--:|"
    with bench.database.connect(autocommit=True) as conn:
        conn.execute(SERVES, (None,))
        best = nearest(conn, bench)
        for where in FILTERS:
            share = vector_recall(conn, bench, where, best[where])
            yield f"| vector, filter {where}, {QUESTIONS} questions | {share:.3f} | |"
        for _mode, kind, where in (cell for cell in CELLS if cell[0] == "text"):
            share, scores = text_quality(conn, bench, kind, where)
            yield f"| text, {kind}, filter {where}, {READ_WHOLE} questions | {share:.3f} | {scores:.3f} |"
    yield ""


def folder() -> Path:
    """Where databases are kept between runs."""
    return Path(os.environ.get("BENCH_DIR") or platformdirs.user_cache_path("pgpipe") / "bench")


def tables(folder: Path, sizes: Iterator[int], dims: int, priced: list[str]) -> Iterator[str]:
    """Every size's tables, line by line; what is missing is built first. `priced` gets those of features."""
    with articles.server(folder) as url:
        for rows in sizes:
            database = articles.ensure(url, folder, rows, dims)
            with database.connect(autocommit=True) as conn:
                conn.execute(WARM)
                texts = questions(conn, articles.sentences(folder))
            yield from report(Bench(database, rows, texts, next(articles.vectors(QUESTIONS, dims, articles.ASKED))))
            for line in prices.report(database, rows, texts["ordinary"]):
                sys.stdout.write(f"{line}\n")
                priced.append(line)
    yield (
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine.name()}, PostgreSQL 18 and the clients on the same machine,"
        f" shared_buffers {articles.SETTINGS['shared_buffers']}; load average {os.getloadavg()[2]:.1f}."
    )


def main() -> None:
    """Build what is missing, measure, print, and put it into the documentation."""
    sizes = map(int, os.environ.get("ROWS", "100000").split(","))
    lines: list[str] = []
    priced: list[str] = []
    for line in tables(folder(), sizes, int(os.environ.get("DIMS", "384")), priced):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        lines.append(line)
    docs = Path(os.environ.get("DOCS") or Path(__file__).parents[2] / "docs/ranking.md")
    text = docs.read_text(encoding="utf-8") if docs.exists() else ""
    before, _, rest = text.partition(BEGIN)
    docs.write_text("\n".join([f"{before}{BEGIN}", *lines, f"{END}{rest.partition(END)[2]}"]), encoding="utf-8")
    prices.write(priced)


if __name__ == "__main__":
    main()
