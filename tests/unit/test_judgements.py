"""Judgements in each form that `pgpipe evaluate` reads, what is wrong with a file, and the measures by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from pgpipe.errors import UsageError
from pgpipe.evaluation.judgements import Judgements, read
from pgpipe.evaluation.measure import interval, scores

TOPICS = """
<top><num> Number: 301 <title> tar files

<desc> What else?</top>
<top>
<num>302</num><title>nothing</title></top>
"""


def written(folder: Path, **files: str) -> dict[str, Path]:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return {name: folder / name for name in files}


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    """Lines of question, key and grade, with or without a heading; a question without an answer is left out."""
    text = 'question\tkey\tgrade\r\ncompress a file\t7\t2\n\ncompress a file\t{"id": 8}\t0\nno answer\t7\t-1\n'
    files = written(tmp_path, own=text, plain=text.partition("\n")[2])

    expected = Judgements({"compress a file": "compress a file"}, {"compress a file": {"7": 2, '{"id": 8}': 0}})
    assert read(files["own"]) == read(files["plain"]) == expected


def test_beir_and_trec(tmp_path: Path) -> None:
    """A folder of BEIR; qrels and topics of TREC; qrels with a list of names and questions."""
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n301\td 1\t2\n301\td2\t0\n")
    files = written(
        tmp_path,
        **{"queries.jsonl": json.dumps({"_id": "301", "text": "tar files"}), "topics": TOPICS},
        judged="301 0 d1 2\n301 0 d2 0\n302 0 d1 0\n",
        named="301\ttar files\n",
    )

    assert read(tmp_path) == Judgements({"301": "tar files"}, {"301": {"d 1": 2, "d2": 0}})
    for questions in ("topics", "named", "queries.jsonl"):
        found = read(files["judged"], files[questions])
        assert found == Judgements({"301": "tar files"}, {"301": {"d1": 2, "d2": 0}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a question\t7\n", "line 1: it has 2 fields; a judgement is `question TAB key TAB grade`"),
        ("q\t7\t1\nq\t\t1\n", "line 2: it has 2 fields"),
        ("q\t7\tgood\n", "line 1: a grade is a whole number, 0 for a row that does not answer: 'good'"),
        ("q\t7\t0\n", "none of 1 questions has a row whose grade is above 0"),
        ("", "none of 0 questions"),
        ("\udcff", "it is not UTF-8"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    """One line: the file, the line, and what would be right."""
    file = tmp_path / "judged.tsv"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(UsageError) as raised:
        read(file)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


DEEP, OPEN, BLANK = '{"_id": ' + "[" * 100_000, "<top>" * 100_000, f"<top><num>{' ' * 100_000}</top>"


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        '{"_id": 1',
        "a question",
        "\tno name",
        "<top><num> 1</top>",
        *(pytest.param(x, id="long") for x in (DEEP, OPEN, BLANK)),
    ],
)
def test_questions_that_cannot_be_read(tmp_path: Path, line: str) -> None:
    """As for judgements. A file that is made to be hard to read takes a moment, not hours."""
    files = written(tmp_path, qrels="1 0 d 1\n", questions=line)

    with pytest.raises(UsageError, match="questions"):
        read(files["qrels"], files["questions"])


def test_measures_by_hand() -> None:
    """Gains are discounted by log2(1 + rank) and compared with the best order; the order is that of the answers."""
    grades = {"one": {"a": 2, "b": 1, "x": 0}, "two": {"a": 1, "b": 1}, "three": {"a": 1}}
    found = scores(grades, {"one": ["b", "x", "a"], "two": ["z"] * 1 + [f"y{n}" for n in range(9)] + ["a"]})

    best = 2 + 1 / math.log2(3)
    assert found["ndcg@10"] == pytest.approx([(1 + 2 / 2) / best, 0, 0])
    assert found["recall@100"] == pytest.approx([1, 0.5, 0])
    assert found["mrr"] == pytest.approx([1, 1 / 11, 0])
    assert scores(grades, {})["mrr"].sum() == 0


def test_intervals() -> None:
    """About what the central limit theorem says; a difference of chance is not certain, one of all questions is."""
    values = np.random.default_rng(1).normal(0.4, 0.2, 400)
    found = interval(values)

    assert found.mean == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert found.certain
    assert not interval(values - values.mean()).certain
    assert interval(values) == found
