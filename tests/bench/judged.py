"""Collections with judgements: read from a folder in SMART or BEIR form, or made of the library's docstrings."""

import csv
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pgpipe.demo import lake

Field = dict[str, str]  # of a SMART record, by its letter
DEPTH = 100  # answers to a question that are looked at


@dataclass(frozen=True)
class Document:
    """What is searched."""

    id: str
    title: str
    body: str


@dataclass(frozen=True)
class Judged:
    """Documents, questions that have at least one right answer, and how right: question → document → gain above 0."""

    name: str
    documents: list[Document]
    questions: dict[str, str]
    gains: dict[str, dict[str, float]]


def read(folder: Path | None) -> Judged:
    """The collection of a folder, whichever form it has; the one made of docstrings where there is no folder.

    Raises:
        FileNotFoundError: the folder holds neither *.ALL, *.QRY, *.REL nor corpus.jsonl, queries.jsonl, qrels/test.tsv.
    """
    if folder is None:
        return docstrings()
    if (folder / "corpus.jsonl").exists():
        return _beir(folder)
    if any(folder.glob("*.ALL")):
        return _smart(folder)
    raise FileNotFoundError(
        f"{folder} holds neither *.ALL, *.QRY, *.REL nor corpus.jsonl, queries.jsonl, qrels/test.tsv"
    )


def docstrings() -> Judged:
    """Known items: the first sentence of a docstring asks for the rest of it, whose title is its name."""
    documents, questions, gains = [], {}, {}
    for _kind, row in lake.documented():
        name, summary, body = str(row["name"]), str(row["summary"]), str(row["doc"])
        if len(body) < 80 or len(summary.split()) < 4 or name in questions:
            continue
        documents.append(Document(name, name.rpartition(".")[2], body))
        questions[name] = summary
        gains[name] = {name: 1.0}
    return Judged("docstrings", documents, questions, gains)


def _judged(
    name: str, documents: list[Document], questions: dict[str, str], gains: dict[str, dict[str, float]]
) -> Judged:
    known = {d.id for d in documents}
    gains = {
        q: {d: g for d, g in found.items() if d in known and g > 0} for q, found in gains.items() if q in questions
    }
    gains = {q: found for q, found in gains.items() if found}
    return Judged(name, documents, {q: t for q, t in questions.items() if q in gains}, gains)


def _beir(folder: Path) -> Judged:
    documents = [Document(d["_id"], d.get("title") or "", d.get("text") or "") for d in _lines(folder / "corpus.jsonl")]
    questions = {q["_id"]: q["text"] for q in _lines(folder / "queries.jsonl")}
    gains: dict[str, dict[str, float]] = {}
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            gains.setdefault(row["query-id"], {})[row["corpus-id"]] = float(row["score"])
    return _judged(folder.name, documents, questions, gains)


def _lines(file: Path) -> Iterator[dict[str, str]]:
    with file.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def _smart(folder: Path) -> Judged:
    (corpus,), (asked,), (judged,) = (list(folder.glob(f"*.{kind}")) for kind in ("ALL", "QRY", "REL"))
    documents = [Document(r["I"], r.get("T", ""), r.get("W", "")) for r in _records(corpus)]
    questions = {r["I"]: r.get("W", "") for r in _records(asked)}
    gains: dict[str, dict[str, float]] = {}
    for line in judged.read_text(encoding="utf-8", errors="replace").splitlines():
        if parts := line.split():
            gains.setdefault(parts[0], {})[parts[1]] = 1.0
    return _judged(folder.name, documents, questions, gains)


def _records(file: Path) -> Iterator[Field]:
    """Records of the form `.I 1`, `.T`, lines of text, `.W`, lines of text."""
    for record in re.split(r"^\.I\s*", file.read_text(encoding="utf-8", errors="replace"), flags=re.MULTILINE)[1:]:
        number, *parts = re.split(r"^\.([A-Z])[ \t]*$", record, flags=re.MULTILINE)
        fields = dict(zip(parts[::2], (" ".join(p.split()) for p in parts[1::2]), strict=True))
        yield fields | {"I": number.strip()}


def ndcg(found: list[str], gains: dict[str, float], k: int = 10) -> float:
    """Normalised discounted cumulative gain of the first k, as trec_eval counts it: gain over log2(1 + rank)."""
    got = sum(gains.get(d, 0) / math.log2(n + 2) for n, d in enumerate(found[:k]))
    best = sum(g / math.log2(n + 2) for n, g in enumerate(sorted(gains.values(), reverse=True)[:k]))
    return got / best


def recall(found: list[str], gains: dict[str, float], k: int = DEPTH) -> float:
    """The share of the right answers that are among the first k."""
    return sum(d in gains for d in found[:k]) / len(gains)
