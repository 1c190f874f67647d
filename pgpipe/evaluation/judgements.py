"""Judgements: questions, and how well rows answer them, of a file of one's own or in the forms of BEIR and TREC."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgpipe.errors import UsageError

Grades = dict[str, dict[str, int]]  # question → row → grade, 0 if it does not answer
TOPIC, END = re.compile("<top>", re.IGNORECASE), re.compile("</top>", re.IGNORECASE)
NUMBER = re.compile(r"<num> ?(?:Number:)? ?(\S+)", re.IGNORECASE)
TITLE = re.compile(r"<title> ?(?:Topic:)? ?([^<]+)", re.IGNORECASE)
FORMS = "a judgement is `question TAB key TAB grade`, or with --questions a line of BEIR's qrels or of TREC's"
OWN, BEIR, TREC = 3, 3, 4  # fields of a line


@dataclass(frozen=True)
class Judgements:
    """Questions by their names, and the grade of each row that was judged for one."""

    questions: dict[str, str]
    grades: Grades

    def among(self, names: list[str]) -> "Judgements":
        """Of these questions only."""
        return Judgements({n: self.questions[n] for n in names}, {n: self.grades[n] for n in names})


def read(path: Path, questions: Path | None = None) -> Judgements:
    """The judgements of a file, or of a folder in BEIR's form.

    Args:
        path: lines of question, key and grade; or the judgements of the names in `questions`.
        questions: queries.jsonl of BEIR, topics of TREC, or lines of name and question.

    Raises:
        UsageError: a line cannot be read, or no question has an answer.
    """
    if path.is_dir():
        questions = questions or path / "queries.jsonl"
        path = _qrels(path)
    if questions is None:
        return answered(*_own(path))
    return answered(read_questions(questions), read_grades(path))


def answered(questions: dict[str, str], grades: Grades) -> Judgements:
    """The questions that have an answer at all.

    Raises:
        UsageError: there is none.
    """
    known = [name for name in questions if any(grade > 0 for grade in grades.get(name, {}).values())]
    if not known:
        raise UsageError(f"none of {len(questions)} questions has a row whose grade is above 0; {FORMS}")
    return Judgements(questions, grades).among(known)


def read_grades(path: Path) -> Grades:
    """The judgements of a file in the form of BEIR (three columns) or of TREC (four).

    Raises:
        UsageError: a line cannot be read.
    """
    found: Grades = {}
    for place, line in _lines(path):
        fields = line.split("\t") if line.count("\t") == BEIR - 1 else line.split()
        if place == 1 and fields[-1:] == ["score"]:
            continue
        if len(fields) not in {BEIR, TREC}:
            raise UsageError(f"{path}, line {place}: it has {len(fields)} fields; {FORMS}")
        found.setdefault(fields[0], {})[fields[-2]] = _grade(path, place, fields[-1])
    return found


def read_questions(path: Path) -> dict[str, str]:
    """Questions by their names: JSON lines with _id and text, topics of TREC, or lines of name and question.

    Raises:
        UsageError: a line cannot be read.
    """
    whole = "\n".join(line for _place, line in _lines(path))
    if topics := [END.split(part, 1)[0] for part in TOPIC.split(whole)[1:] if END.search(part)]:
        return dict(_topic(path, topic) for topic in topics)
    return dict(_question(path, place, line) for place, line in _lines(path))


def _topic(path: Path, topic: str) -> tuple[str, str]:
    topic = " ".join(topic.split())
    number, title = NUMBER.search(topic), TITLE.search(topic)
    if number is None or title is None:
        raise UsageError(f"{path}: a topic lacks <num> or <title>")
    return number[1], title[1].strip()


def _question(path: Path, place: int, line: str) -> tuple[str, str]:
    if line.startswith("{"):
        try:
            asked: dict[str, Any] = json.loads(line)
            return str(asked["_id"]), str(asked["text"])
        except (ValueError, KeyError, RecursionError):
            raise UsageError(f"{path}, line {place}: it is not a JSON object with _id and text") from None
    name, tab, text = line.partition("\t")
    if not (tab and name.strip() and text.strip()):
        raise UsageError(f"{path}, line {place}: a question is `name TAB question`, or JSON with _id and text")
    return name.strip(), text.strip()


def _own(path: Path) -> tuple[dict[str, str], Grades]:
    grades: Grades = {}
    for place, line in _lines(path):
        fields = [field.strip() for field in line.split("\t")]
        if place == 1 and fields[-1:] == ["grade"]:
            continue
        if len(fields) != OWN or not all(fields):
            raise UsageError(f"{path}, line {place}: it has {len(list(filter(None, fields)))} fields; {FORMS}")
        grades.setdefault(fields[0], {})[fields[1]] = _grade(path, place, fields[2])
    return {text: text for text in grades}, grades


def _grade(path: Path, place: int, text: str) -> int:
    if not re.fullmatch(r"-?\d{1,6}", text.strip(), re.ASCII):
        raise UsageError(f"{path}, line {place}: a grade is a whole number, 0 for a row that does not answer: {text!r}")
    return max(int(text), 0)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise UsageError(f"{path} cannot be read: {why}") from None
    for place, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield place, line.rstrip("\r")


def _qrels(folder: Path) -> Path:
    found = sorted((folder / "qrels").glob("*.tsv"))
    if not found:
        raise UsageError(f"{folder} has no judgements: in BEIR's form they are in qrels/test.tsv")
    return next((file for file in found if file.name == "test.tsv"), found[0])
