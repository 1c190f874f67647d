"""Collections with judgements: read from a folder in SMART or BEIR form, or made of the library's docstrings."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pgpipe.demo import lake
from pgpipe.evaluation.judgements import Grades, read_grades, read_questions

Field = dict[str, str]  # of a SMART record, by its letter


@dataclass(frozen=True)
class Document:
    """What is searched."""

    id: str
    title: str
    body: str


@dataclass(frozen=True)
class Judged:
    """Documents, questions that have at least one right answer, and how right: question → document → grade above 0."""

    name: str
    documents: list[Document]
    questions: dict[str, str]
    gains: Grades


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
        gains[name] = {name: 1}
    return Judged("docstrings", documents, questions, gains)


def _judged(name: str, documents: list[Document], questions: dict[str, str], gains: Grades) -> Judged:
    known = {d.id for d in documents}
    gains = {
        q: {d: g for d, g in found.items() if d in known and g > 0} for q, found in gains.items() if q in questions
    }
    gains = {q: found for q, found in gains.items() if found}
    return Judged(name, documents, {q: t for q, t in questions.items() if q in gains}, gains)


def _beir(folder: Path) -> Judged:
    documents = [Document(d["_id"], d.get("title") or "", d.get("text") or "") for d in _lines(folder / "corpus.jsonl")]
    questions = read_questions(folder / "queries.jsonl")
    return _judged(folder.name, documents, questions, read_grades(folder / "qrels" / "test.tsv"))


def _lines(file: Path) -> Iterator[dict[str, str]]:
    with file.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def _smart(folder: Path) -> Judged:
    (corpus,), (asked,), (judged,) = (list(folder.glob(f"*.{kind}")) for kind in ("ALL", "QRY", "REL"))
    documents = [Document(r["I"], r.get("T", ""), r.get("W", "")) for r in _records(corpus)]
    questions = {r["I"]: r.get("W", "") for r in _records(asked)}
    gains: Grades = {}
    for line in judged.read_text(encoding="utf-8", errors="replace").splitlines():
        if parts := line.split():
            gains.setdefault(parts[0], {})[parts[1]] = 1
    return _judged(folder.name, documents, questions, gains)


def _records(file: Path) -> Iterator[Field]:
    """Records of the form `.I 1`, `.T`, lines of text, `.W`, lines of text."""
    for record in re.split(r"^\.I\s*", file.read_text(encoding="utf-8", errors="replace"), flags=re.MULTILINE)[1:]:
        number, *parts = re.split(r"^\.([A-Z])[ \t]*$", record, flags=re.MULTILINE)
        fields = dict(zip(parts[::2], (" ".join(p.split()) for p in parts[1::2]), strict=True))
        yield fields | {"I": number.strip()}
