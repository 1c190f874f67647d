"""Measures of answers, computed by ir-measures, and how sure they are, by bootstrap over the questions."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pgpipe.evaluation.judgements import Grades
from pgpipe.extras import needed

DEPTH = 100  # answers to a question that are looked at
RESAMPLES = 2000
SEED = 20260101  # of the bootstrap: the same figures each time
Values = npt.NDArray[np.float64]
Scores = dict[str, Values]  # by measure, one value a question


@dataclass(frozen=True)
class Interval:
    """A mean, and within which bounds it lies with 95 % confidence."""

    mean: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether a difference of this size is more than chance."""
        return self.low > 0 or self.high < 0


def scores(grades: Grades, answers: Mapping[str, list[str]]) -> Scores:
    """nDCG@10, recall@100 and MRR of each question, in the order of the grades.

    Raises:
        UsageError: ir-measures is not installed.
    """
    with needed("evaluate", "pgpipe evaluate"):
        import ir_measures
    from ir_measures import RR, R, nDCG

    measures = {nDCG @ 10: "ndcg@10", R @ DEPTH: "recall@100", RR: "mrr"}
    judged = [ir_measures.Qrel(q, row, grade) for q, rows in grades.items() for row, grade in rows.items()]
    # The library orders by score; equal ones by their names.
    given = [ir_measures.ScoredDoc(q, row, -place) for q, rows in answers.items() for place, row in enumerate(rows)]
    place = {question: n for n, question in enumerate(grades)}
    found = {name: np.zeros(len(grades)) for name in measures.values()}
    if given:
        for value in ir_measures.iter_calc(list(measures), judged, given):
            found[measures[value.measure]][place[value.query_id]] = value.value
    return found


def interval(values: Values) -> Interval:
    """The mean of one value a question, or of one difference a question."""
    chosen = np.random.default_rng(SEED)
    means = np.array([values[chosen.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)])
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(values.mean()), float(low), float(high))
