"""The steps from a question to its hits, without any I/O: the caller talks to the database and to the model.

Sync and async searches take the same steps.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pgpipe import errors
from pgpipe.searching.ask import (
    SEARCHABLE,
    Hit,
    Question,
    Searchable,
    SearchMode,
    Statement,
    filter_check,
    pick,
    require_mode,
    statement,
)
from pgpipe.searching.merged import hits_of_several
from pgpipe.searching.rerank import Declared, chosen, reranked, widened
from pgpipe.searching.steps import Encode, Rerank, Scored, Step, Steps, T
from pgpipe.settings.entity import RerankDeclaration

__all__ = ["Encode", "Rerank", "Step", "Steps", "T", "hits", "hits_of", "query_vector", "take", "warm_up"]


def hits(
    question: Question,
    entity: str | Sequence[str] | None,
    mode: SearchMode | None,
    known: Declared,
    vector: Sequence[float] | None = None,
) -> Steps[list[Hit]]:
    """The steps of a search.

    Args:
        question: what is asked.
        entity: its name, or several; None if there is only one.
        mode: None takes hybrid if the entity has vectors, else text.
        known: how entities are reranked, and the schema of names that state none.
        vector: of the question, if the caller has it.

    Raises:
        UsageError: the entity or the mode is unknown, or the filter is not valid JSON.
    """
    require_mode(mode)
    if entity is not None and not isinstance(entity, str):
        if len(entity) > 1:
            if vector is not None:
                raise errors.UsageError("a vector is of the model of one entity: ask that one alone")
            return (yield from hits_of_several(question, entity, mode, known))
        entity = next(iter(entity), None)
    target = pick((yield SEARCHABLE), entity, known.home)
    return (yield from hits_of(target, mode or target.best_mode, question, known, vector))


def hits_of(
    target: Searchable, mode: SearchMode, question: Question, known: Declared, vector: Sequence[float] | None = None
) -> Steps[list[Hit]]:
    """The steps of a search, once it is known where.

    What was found of the target holds for the whole search, also if another embedding becomes active meanwhile.

    Raises:
        UsageError: the filter is not valid JSON.
    """
    by = chosen(question, [target], known)
    if mode != "text" and vector is None:
        if question.filter is not None:
            yield filter_check(target, question)
        vector = yield Encode(question.query, target)
    found: list[Hit] = yield statement(target, mode, widened(question, by), vector)
    return (yield from reranked(found, question, by))


def query_vector(query: str, entity: str | None, home: str) -> Steps[list[float]]:
    """The steps to the vector of a question.

    Raises:
        UsageError: the entity is unknown.
    """
    target = pick((yield SEARCHABLE), entity, home)
    vector: list[float] = yield Encode(Question(query).query, target)
    return vector


def warm_up(entities: Sequence[str], known: Declared) -> Steps[list[RerankDeclaration]]:
    """The steps that load the models of these entities, or of all if none is named; returns how these are reranked.

    Raises:
        UsageError: an entity is unknown.
    """
    tables: list[Searchable] = yield SEARCHABLE
    named = [pick(tables, name, known.home) for name in entities] or tables
    for target in {target.model: target for target in named if target.model}.values():
        yield Encode("a word", target)
    return [by for target in named if (by := known.of(target))]


def _unread(_step: Rerank) -> Scored:
    return Scored([], "this program runs no reranker")


def take(
    steps: Steps[T],
    fetch: Callable[[Statement[Any]], list[Any]],
    encode: Callable[[str, Searchable], list[float]],
    rerank: Callable[[Rerank], Scored] = _unread,
) -> T:
    """Take all steps, one after the other."""
    step = next(steps)
    while True:
        answer: Any
        if isinstance(step, Rerank):
            answer = rerank(step)
        else:
            answer = encode(step.query, step.target) if isinstance(step, Encode) else fetch(step)
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return] # what the steps return
