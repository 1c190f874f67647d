"""What each feature of a search costs next to the plain search of the same table, for `make bench-search`.

CPU time of the server's process, so that other work on the machine counts little; of a reranker also that of this one.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pgpipe.db import Connection, Database
from tests.bench import machine

BEGIN, END = "<!-- prices of make bench-search -->", "<!-- end of the prices -->"
ROUNDS = 3
# What the features need: constants take no time to add, also to a large table.
COLUMNS = """
    alter table article add if not exists attributes jsonb default '{"colour": "red"}',
                        add if not exists at timestamptz default '2026-11-01'
"""
TITLES = """create index if not exists article_title on article ((lower("left"(title, 100)) collate "C"))"""
MEANT_AS_WELL = """
    insert into pgpipe.synonym (target, term, alternatives)
    select 'article'::regclass, term, array['program', 'another value']
      from unnest(%s::text[]) term on conflict do nothing
"""
PLAIN = "select * from pgpipe.text_search('article', %(text)s{})"
FEATURES = {
    "**plain search**, ten answers": PLAIN.format(""),
    "ranking alone, without titles and passages": "select * from pgpipe_internal.rank_text('article', %(text)s, 10)",
    "`fuzzy => false`": PLAIN.format(", fuzzy => false"),
    "a misspelt word, corrected": PLAIN.format("").replace("text)s", "misspelt)s"),
    "a word with two synonyms": PLAIN.format(""),
    "a filter by a column, half of the rows": PLAIN.format(""", filter => '{"half": true}'"""),
    "a filter by a path, all rows": PLAIN.format(""", filter => '{"attributes.colour": "red"}'"""),
    "`row`": PLAIN.format(""", options => '{"row": true}'"""),
    "`boost` by a number and an age": PLAIN.format(
        """, options => '{"boost": {"per_mille": {"log": 0.3}, "at": {"half_life": "30 days", "weight": 0.2}}}'"""
    ),
    "`order_by`": PLAIN.format(""", options => '{"order_by": "per_mille"}'"""),
    "`explain`": PLAIN.format(""", options => '{"explain": true}'"""),
    "`pgpipe.search_all` of this table": "select * from pgpipe.search_all(%(text)s, '{article}')",
    "`pgpipe.similar`, by words": "select * from pgpipe.similar('article', %(key)s)",
    "`pgpipe.suggest`, four letters": "select * from pgpipe.suggest('article', %(begun)s)",
    "`pgpipe.total`": "select * from pgpipe.total('article', %(text)s)",
    "`pgpipe.facets` of a column": """select * from pgpipe.facets('article', %(text)s, '["percent"]')""",
    "50 answers, which a reranker reads": PLAIN.format(", 50"),
}
SYNONYMS, RERANK = "a word with two synonyms", "`rerank`: those, and a model of six layers that reads them"


@dataclass(frozen=True)
class Reader:
    """A reranker of the size of the default one; its weights are random, which changes no time."""

    scores: Callable[[str, list[str], float], Any]

    def read(self, conn: Connection, asked: dict[str, str]) -> None:
        """The 50 best answers."""
        hits = conn.execute(FEATURES["50 answers, which a reranker reads"], asked).fetchall()
        self.scores(asked["text"], [f"{hit[3]}\n{hit[4]}" for hit in hits], 60.0)


def make_reader(folder: Path) -> Reader:
    """Six layers of 384 dimensions, with the tokenizer of the default model of embeddings."""
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    from pgpipe.embed.model.location import fetched
    from pgpipe.rerank.base import load_reranker
    from pgpipe.settings.backend import RerankSettings
    from pgpipe.settings.model import EmbeddingSettings

    AutoTokenizer.from_pretrained(str(fetched(EmbeddingSettings()))).save_pretrained(folder)
    size = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    BertForSequenceClassification(BertConfig(num_labels=1, **size)).save_pretrained(folder)
    return Reader(load_reranker(RerankSettings(model=str(folder), device="cpu")).scores)


def misspelt(text: str) -> str:
    """Two letters of the longest word are exchanged."""
    word = max(text.split(), key=len)
    half = len(word) // 2
    return text.replace(word, f"{word[: half - 1]}{word[half]}{word[half - 1]}{word[half + 1 :]}", 1)


def requests(texts: list[str]) -> list[dict[str, str]]:
    """The parameters of every question."""
    return [
        {
            "text": text,
            "misspelt": misspelt(text),
            "begun": max(text.split(), key=len)[:4],
            "key": f'{{"id": {n * 97}}}',
        }
        for n, text in enumerate(texts)
    ]


def prices(conn: Connection, texts: list[str], reader: Reader | None) -> dict[str, float]:
    """By feature, CPU milliseconds of a question: medians of rounds, the features in turns."""
    pid = conn.execute("select pg_backend_pid()").fetchone()[0]
    asked, spent = requests(texts), {name: [] for name in (*FEATURES, *([RERANK] if reader else []))}
    terms = [max(text.lower().split(), key=len) for text in texts]
    for n in range(ROUNDS + 1):
        for name, taken in spent.items():
            if name == SYNONYMS:
                conn.execute(MEANT_AS_WELL, (terms,))
            began = _cpu(pid) + (time.process_time() if name == RERANK else 0.0)
            for each in asked:
                if name == RERANK and reader:
                    reader.read(conn, each)
                else:
                    conn.execute(FEATURES[name], each).fetchall()
            ended = _cpu(pid) + (time.process_time() if name == RERANK else 0.0)
            if name == SYNONYMS:
                conn.execute("delete from pgpipe.synonym where target = 'article'::regclass")
            if n:  # the first round fills caches
                taken.append((ended - began) / len(asked) * 1000)
    return {name: statistics.median(taken) for name, taken in spent.items()}


def _cpu(pid: int) -> float:
    """Seconds that a process has computed."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def report(database: Database, rows: int, texts: list[str], *, rerank: bool = True) -> Iterator[str]:
    """The table, line by line."""
    with database.connect(autocommit=True) as conn, tempfile.TemporaryDirectory() as folder:
        conn.execute(COLUMNS)
        conn.execute(TITLES)
        found = prices(conn, texts, make_reader(Path(folder)) if rerank else None)
    plain = next(iter(found.values()))
    yield f"| {rows:,} rows of 45 words, {len(texts)} questions | CPU | next to the plain search |"
    yield "|---|--:|--:|"
    for name, ms in found.items():
        yield f"| {name} | {ms:.1f} ms | {ms / plain:.2f} |"
    yield ""


def write(lines: list[str]) -> None:
    """Put the tables into the documentation."""
    page = Path(os.environ.get("PRICES") or Path(__file__).parents[2] / "docs/benchmarks.md")
    text = page.read_text(encoding="utf-8") if page.exists() else f"{BEGIN}{END}"
    before, _, rest = text.partition(BEGIN)
    said = (
        f"Medians of {ROUNDS} rounds in turns, measured {datetime.now(UTC):%Y-%m-%d} on {machine.name()}, PostgreSQL"
        f" 18; load average {os.getloadavg()[2]:.1f}."
    )
    page.write_text("\n".join([f"{before}{BEGIN}", *lines, said, f"{END}{rest.partition(END)[2]}"]), encoding="utf-8")


def main() -> None:
    """Only the prices, of the tables that ROWS, DIMS and BENCH_DIR name; RERANK=0 leaves out what a model costs."""
    from tests.bench import articles, search

    folder = search.folder()
    lines = []
    with articles.server(folder) as url:
        for rows in map(int, os.environ.get("ROWS", "100000").split(",")):
            database = articles.ensure(url, folder, rows, int(os.environ.get("DIMS", "384")))
            with database.connect(autocommit=True) as conn:
                texts = search.questions(conn, articles.sentences(folder))["ordinary"]
            asked = texts[: int(os.environ.get("QUESTIONS", "100"))]
            for line in report(database, rows, asked, rerank=os.environ.get("RERANK", "1") != "0"):
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
                lines.append(line)
    write(lines)


if __name__ == "__main__":
    main()
