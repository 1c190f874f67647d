"""Reranking: a model reads the question together with each of the best answers, and orders these by its scores."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from pgpipe import errors
from pgpipe.searching.ask import Hit, Question, Reranked, Searchable
from pgpipe.searching.steps import Rerank, Scored, Steps
from pgpipe.settings.entity import RerankDeclaration
from pgpipe.settings.model import Settings


@dataclass(frozen=True)
class Declared:
    """What the settings say of reranking: by entity, and for names of which schema."""

    home: str
    entities: Mapping[str, RerankDeclaration] = field(default_factory=dict)

    def of(self, target: Searchable) -> RerankDeclaration | None:
        """What is declared for a table; None if its searches are not reranked."""
        return self.entities.get(target.name) if target.schema == self.home else None


def declared(settings: Settings, home: str) -> Declared:
    """What the settings say."""
    return Declared(home, {name: entity.rerank for name, entity in settings.entity.items() if entity.rerank})


def chosen(question: Question, targets: list[Searchable], known: Declared) -> RerankDeclaration | None:
    """How the answers of a question are reranked; None if they are not.

    Raises:
        UsageError: the call says it in a way that does not exist, or wants an order by columns as well.
    """
    wanted = question.rerank
    if question.order_by and wanted:
        raise errors.UsageError("answers that are ordered by a column are not reranked: without order_by, or rerank")
    if wanted is False or question.order_by:
        return None
    found = {known.of(target) for target in targets}
    common = found.pop() if len(found) == 1 else None  # several tables are one list, which one model reads
    if wanted is None:
        return common
    if wanted is True:
        return common or RerankDeclaration()
    try:
        return RerankDeclaration.model_validate((common.model_dump() if common else {}) | dict(wanted))
    except (ValidationError, ValueError, TypeError) as exc:
        raise errors.UsageError(f"rerank: {_fault(exc)}") from None


def widened(question: Question, by: RerankDeclaration | None) -> Question:
    """The question that finds all answers that are read, from the first one on."""
    if by is None or question.skip >= by.candidates:
        return question
    return replace(question, k=max(by.candidates, question.skip + question.k), skip=0)


def reranked(found: list[Hit], question: Question, by: RerankDeclaration | None) -> Steps[list[Hit]]:
    """The page of a question, from what its widened form found: the answers that were read in time come first."""
    if by is None or question.skip >= by.candidates:
        return found
    first = found[: by.candidates]
    if not first:
        return []
    scored: Scored = yield Rerank(first[0].corrected or question.query, [_text(hit) for hit in first], by)
    told = Reranked(len(scored.scores), len(first), scored.fault)
    best = sorted(range(len(scored.scores)), key=lambda n: -scored.scores[n])
    ordered = [_read(first[n], n + 1, scored, question.explain) for n in best] + found[len(best) :]
    return [replace(hit, reranked=told) for hit in ordered[question.skip : question.skip + question.k]]


def _text(hit: Hit) -> str:
    """What the model reads of an answer: its title and its best passage."""
    title = hit.title or ""
    return hit.text if hit.text.startswith(title) else f"{title}\n{hit.text}"


def _read(hit: Hit, place: int, scored: Scored, explain: bool) -> Hit:
    score = scored.scores[place - 1]
    details = hit.details
    if explain and details is not None:
        times = details.get("milliseconds", {}) | {"rerank": round(scored.seconds * 1000, 3)}
        details = details | {"rerank": {"score": score, "place": place}, "milliseconds": times}
    return replace(hit, rerank_score=score, details=details)


def _fault(exc: Exception) -> str:
    """The first fault as one line; the value is not named."""
    if not isinstance(exc, ValidationError):
        return f'is true, false, or an object such as {{"candidates": 50}}, not {exc}'
    first: Any = exc.errors()[0]
    where = ".".join(map(str, first["loc"]))
    unknown = "there are model, candidates and budget" if first["type"] == "extra_forbidden" else first["msg"]
    return f"{where}: {unknown[:1].lower()}{unknown[1:]}"
