"""The forms of collections that the bench of answers reads."""

import json
from itertools import islice
from pathlib import Path

import pytest

from pgpipe.demo import lake
from tests.bench.judged import Document, docstrings, read


def test_smart(tmp_path: Path) -> None:
    """Records of .I, .T, .W; questions without judgement, and judgements of nothing that is there, are left out."""
    (tmp_path / "X.ALL").write_text(".I 1\n.T\nA title\n.A\nSomebody\n.W\nTwo\n lines\n.X\n1 5 1\n.I 2\n.W\nOther\n")
    (tmp_path / "X.QRY").write_text(".I 1\n.W\nwhat is\nasked\n.I 2\n.W\nnobody judged this\n")
    (tmp_path / "X.REL").write_text("     1      1\t0\t0.000000\n     1      9\t0\t0.000000\n     2      9\t0\t0\n")

    judged = read(tmp_path)

    assert judged.documents == [Document("1", "A title", "Two lines"), Document("2", "", "Other")]
    assert judged.questions == {"1": "what is asked"}
    assert judged.gains == {"1": {"1": 1}}


def test_beir(tmp_path: Path) -> None:
    """JSON lines and judgements with gains; a gain of 0 is no answer."""
    documents = [{"_id": "d1", "title": "T", "text": "one"}, {"_id": "d2", "text": "two"}]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, documents)))
    (tmp_path / "queries.jsonl").write_text(json.dumps({"_id": "q1", "text": "which"}) + "\n")
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n")

    judged = read(tmp_path)

    assert judged.documents == [Document("d1", "T", "one"), Document("d2", "", "two")]
    assert (judged.questions, judged.gains) == ({"q1": "which"}, {"q1": {"d1": 2}})


def test_neither(tmp_path: Path) -> None:
    """Another folder is refused by a sentence that says what was expected."""
    with pytest.raises(FileNotFoundError, match=r"corpus\.jsonl"):
        read(tmp_path)


def test_docstrings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder: hundreds of known items, each asked for by a sentence that its document does not begin with."""
    some = list(islice(lake.documented(), 1200))
    monkeypatch.setattr(lake, "documented", lambda: iter(some))

    judged = docstrings()

    bodies = {d.id: d.body for d in judged.documents}
    assert len(bodies) > 300
    assert judged.gains == {q: {q: 1.0} for q in judged.questions}
    assert not any(bodies[q].startswith(text) for q, text in judged.questions.items())
