"""`pgpipe evaluate`: each mode measured, and two embeddings compared before a switch."""

from dataclasses import dataclass

from pgpipe.evaluation.judgements import Judgements
from pgpipe.evaluation.measure import Interval, Scores, interval, scores
from pgpipe.evaluation.ranked import Advance, Ranker
from pgpipe.searching.ask import Searchable, SearchMode


@dataclass(frozen=True)
class Measured:
    """How well one mode of search answers."""

    mode: SearchMode
    embedding: str | None  # None: of words alone
    measures: dict[str, Interval]
    milliseconds: float  # of a search, as the median


@dataclass(frozen=True)
class Difference:
    """How much better the second of two answers is than the first, in pairs of the same question."""

    mode: SearchMode
    measures: dict[str, Interval]
    better: int  # questions whose nDCG@10 is higher
    worse: int


def modes_of(target: Searchable) -> list[SearchMode]:
    """The modes that a table can be asked in."""
    meaning = bool(target.model and target.vectors)
    both = meaning and target.searched
    return [*(["text"] * target.searched), *(["vector"] * meaning), *(["hybrid"] * both)]  # type: ignore[list-item]


def measure(
    ranker: Ranker, judgements: Judgements, target: Searchable, mode: SearchMode, advance: Advance
) -> tuple[Measured, Scores]:
    """One mode, and its scores by question."""
    answers, milliseconds = ranker.ask(judgements, target, mode, advance)
    found = scores(judgements.grades, answers)
    embedding = None if mode == "text" else target.embedding
    return Measured(mode, embedding, intervals(found), milliseconds), found


def intervals(found: Scores) -> dict[str, Interval]:
    """The mean of each measure."""
    return {name: interval(values) for name, values in found.items()}


def difference(mode: SearchMode, before: Scores, after: Scores) -> Difference:
    """The second scores less the first, question by question."""
    gains = {name: after[name] - before[name] for name in before}
    first = next(iter(gains.values()))
    return Difference(mode, intervals(gains), int((first > 0).sum()), int((first < 0).sum()))
