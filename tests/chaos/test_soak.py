"""The soak in its short form: everything at once, and no invariant is violated."""

import hashlib

from tests.chaos.embedders import faults, vector
from tests.chaos.soak.run import soak

SECONDS, SEED = 10.0, 12  # with its start, its end and its check, about half a minute


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_short_soak() -> None:
    """Embedders, a loader and writers under every kind of trouble: rows, vectors, ledger, answers, statuses agree."""
    scene = soak(SECONDS, SEED)

    assert scene.violations == [], f"SEED={SEED}"
    assert scene.counts["jobs finished"] > 0
    assert scene.counts["statements on note"] > 0
    assert scene.counts["vectors checked"] > 0


def test_the_check_can_fail() -> None:
    """Each way in which a vector can be wrong is named; what is right is not."""
    text, long = "text", "a" * 500
    right = [
        (1, 0, "chaos", _hash(text), 0, 4, vector(text)),
        (2, 0, "chaos", _hash(long), 0, 400, vector(long[:400])),
        (2, 1, "chaos", _hash(long), 400, 500, vector(long[400:])),
    ]
    assert faults({1: text, 2: long, 3: None}, right) == []

    assert faults({1: "other", 2: long}, right) == [
        "1 has a vector of another text than 'other'",
        "1 lacks a vector of 'other'",
    ]
    assert faults({2: long}, right) == ["1 has a vector, but no text"]
    assert faults({1: text, 2: long}, right[:2]) == [f"2 lacks a vector of {long[:80]!r}"]
    assert faults({1: text}, [(*right[0][:6], vector("other"))]) == ["1 has a vector that is not its own"]
