"""`pgpipe evaluate --tune`: settings fitted to one half of the questions, and what the other half says of them."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from pgpipe.db import Connection, translated
from pgpipe.errors import UsageError
from pgpipe.evaluation.evaluate import Difference, difference, intervals, modes_of
from pgpipe.evaluation.judgements import Judgements
from pgpipe.evaluation.measure import Interval, Scores, scores
from pgpipe.evaluation.ranked import Advance, Ranker
from pgpipe.searching.ask import Searchable, SearchMode

DECLARED = """
    select k1, b, occurrences, text_weight, vector_weight, array(select distinct value from jsonb_each_text(weights))
      from pgpipe.search where target = %s::oid
"""
SEED = 1  # of the halves
LEAST = 10  # questions of both halves together
LETTERS = "DCBA"
K1 = (0.5, 0.9, 1.2, 1.6, 2.0, 3.0)
B = (0.25, 0.4, 0.5, 0.6, 0.75, 0.9)
RATIOS = (1.0, 1.5, 2.0, 3.0, 5.0)  # of a column's weight to the next lighter one's
MEANING = tuple(n / 10 for n in range(11))  # share of meaning in a hybrid search
TRIALS = len(K1) + len(B) + 3 * len(RATIOS) + len(MEANING)
Ranking = dict[str, Any]  # as pgpipe.set_ranking takes it


@dataclass(frozen=True)
class Held:
    """What the questions that nothing was fitted to say of one mode."""

    mode: SearchMode
    before: dict[str, Interval]
    after: dict[str, Interval]
    difference: Difference


@dataclass(frozen=True)
class Tuned:
    """Settings, and what they are worth."""

    ranking: Ranking  # whole
    changed: Ranking  # what is not as it was
    fitted: int  # questions that they were fitted to
    modes: list[Held]

    @property
    def certain(self) -> bool:
        """Whether the last mode, the one that was fitted, gains more nDCG@10 than chance brings."""
        return self.modes[-1].difference.measures["ndcg@10"].low > 0


def halves(judgements: Judgements) -> tuple[Judgements, Judgements]:
    """Two halves of the questions, drawn at random and the same each time.

    Raises:
        UsageError: there are too few.
    """
    names = sorted(judgements.questions)
    if len(names) < LEAST:
        raise UsageError(f"--tune needs at least {LEAST} questions with an answer, and there are {len(names)}")
    random.Random(SEED).shuffle(names)  # noqa: S311 - no secret
    middle = (len(names) + 1) // 2
    return judgements.among(names[:middle]), judgements.among(names[middle:])


class Tuner:
    """Fits settings by trying them, one after the other."""

    def __init__(self, conn: Connection, ranker: Ranker, target: Searchable, advance: Advance) -> None:
        with translated():
            row = conn.execute(DECLARED, (target.oid,)).fetchone()
        if row is None:
            raise UsageError(f"{target.qualified} has no search column, so there is nothing to tune")
        k1, b, occurrences, text, vector, letters = row
        self._ranker, self._target, self._advance = ranker, target, advance
        weights = dict(zip(LETTERS, occurrences, strict=True))
        self.declared: Ranking = {
            "text_weight": text, "vector_weight": vector, "k1": k1, "b": b, "weights": weights,
        }  # fmt: skip
        self._letters = [letter for letter in LETTERS if letter in letters]

    def tune(self, judgements: Judgements) -> Tuned:
        """Fit to a half of the questions, and ask the other half."""
        fitted, held = halves(judgements)
        ranking = self._fit(fitted)
        before, after = self._scores(held, self.declared), self._scores(held, ranking)
        modes = [
            Held(mode, intervals(before[mode]), intervals(after[mode]), difference(mode, before[mode], after[mode]))
            for mode in before
        ]
        changed = {name: value for name, value in ranking.items() if value != self.declared[name]}
        return Tuned(ranking, changed, len(fitted.questions), modes)

    def _fit(self, fitted: Judgements) -> Ranking:
        best = self.declared
        score = self._by_words(fitted, best)
        for options in self._options():
            for tried in options(best):
                found = self._by_words(fitted, tried)
                self._advance(1)
                if found > score:
                    best, score = tried, found
        return self._fit_meaning(fitted, best) if "hybrid" in modes_of(self._target) else best

    def _options(self) -> Iterator[Callable[[Ranking], list[Ranking]]]:
        """One setting after the other, each with the values to try."""
        yield lambda best: [best | {"k1": value} for value in K1]
        yield lambda best: [best | {"b": value} for value in B]
        for letter in self._letters[1:]:
            yield lambda best, letter=letter: [best | {"weights": self._weights(best, letter, r)} for r in RATIOS]  # type: ignore[misc]

    def _fit_meaning(self, fitted: Judgements, ranking: Ranking) -> Ranking:
        now = (ranking["text_weight"], ranking["vector_weight"])
        pairs = [now, *((round(1 - share, 1), share) for share in MEANING)]
        tried = self._ranker.by_weights(fitted, self._target, ranking, pairs)
        found = [float(scores(fitted.grades, answers)["ndcg@10"].mean()) for answers in tried]
        self._advance(len(MEANING))
        text, vector = pairs[found.index(max(found))]  # the first of equal ones: what is
        return ranking | {"text_weight": text, "vector_weight": vector}

    def _by_words(self, judgements: Judgements, ranking: Ranking) -> float:
        answers = self._ranker.by_words(judgements, self._target, ranking)
        return float(scores(judgements.grades, answers)["ndcg@10"].mean())

    def _scores(self, judgements: Judgements, ranking: Ranking) -> dict[SearchMode, Scores]:
        found: dict[SearchMode, Scores] = {
            "text": scores(judgements.grades, self._ranker.by_words(judgements, self._target, ranking))
        }
        if "hybrid" in modes_of(self._target):
            pair = (ranking["text_weight"], ranking["vector_weight"])
            (answers,) = self._ranker.by_weights(judgements, self._target, ranking, [pair])
            found["hybrid"] = scores(judgements.grades, answers)
        return found

    def _weights(self, ranking: Ranking, letter: str, ratio: float) -> dict[str, float]:
        """The weights where a column's is so many times the next lighter one's; none is lighter than those below it."""
        lighter = self._letters[self._letters.index(letter) - 1]
        given = ranking["weights"] | {letter: round(ranking["weights"][lighter] * ratio, 4)}
        return dict(zip(LETTERS, accumulate((given[each] for each in LETTERS), max), strict=True))
