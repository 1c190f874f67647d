"""Asking one question in several modes. The model is loaded in the background: text works before and without it."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, get_args

from pgpipe import errors
from pgpipe.api.reranking import Reranking
from pgpipe.api.vectors import Load, Loader, QuestionVectors, models
from pgpipe.db import Connection, translated
from pgpipe.embed.model.base import Model
from pgpipe.searching import ask as search
from pgpipe.searching import asking
from pgpipe.searching.ask import Filter, Hit, Question, Searchable, SearchMode
from pgpipe.searching.asked import recorded
from pgpipe.searching.facets import Columns, Facets, facets_of
from pgpipe.searching.rerank import Declared, declared
from pgpipe.settings.model import EmbeddingSettings, Settings

MODES: tuple[SearchMode, ...] = get_args(SearchMode)
MOST, FARTHEST, LONGEST = 100, 10_000, 2000  # hits, hits left out, characters of a question
COMPARISONS = {
    "eq": "=", "ne": "≠", "lt": "<", "lte": "≤", "gt": ">", "gte": "≥",
    "starts_with": "begins with", "null": "is empty",
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What is asked of which entity."""

    question: Question
    entity: str | None


@dataclass(frozen=True)
class Answer:
    """What one mode found, or the line that says why it found nothing."""

    mode: SearchMode
    asked: Question
    hits: list[Hit]
    seconds: float  # of the search itself
    model_seconds: float = 0.0  # of turning the question into a vector, which is kept for the next mode
    error: errors.PgpipeError | None = None


class Models:
    """Models, each loaded once, in the background."""

    def __init__(self, settings: EmbeddingSettings, load: Load | None = None, known: Settings | None = None) -> None:
        """Nothing is loaded yet.

        Args:
            settings: of the models that turn questions into vectors.
            load: loads such a model.
            known: all settings, which say how entities are reranked.
        """
        self._settings = settings
        self.known = known or Settings.model_construct()
        self.rerank = Reranking(self.known.rerank, wait=False)
        self._loader = Loader(load) if load else models
        # The modes vector and hybrid ask the same, and so does a page that is loaded again.
        self.vector = QuestionVectors(settings, self._loaded)

    def start(self, name: str) -> None:
        """Begin to load a model, unless that has begun already; a question says why one may not run here."""
        with suppress(errors.ModelRefused):
            self._loader.start(self._settings.for_model(name))

    def _loaded(self, wanted: EmbeddingSettings) -> Model:
        return self._loader(wanted, wait=False)


def ask(
    conn: Connection, models: Models, asked: Asked, home: str, modes: Iterable[SearchMode | None] = MODES
) -> list[Answer]:
    """The answers of each mode (None: the default); one that fails says why, and the others answer.

    Raises:
        UsageError: the entity is unknown.
    """
    target, known = search.find_searchable(conn, asked.entity, home), declared(models.known, home)
    return [_answer(conn, models, target, asked.question, mode or target.best_mode, known) for mode in modes]


def _answer(
    conn: Connection, models: Models, target: Searchable, question: Question, mode: SearchMode, known: Declared
) -> Answer:
    began, encoded = perf_counter(), 0.0
    hits: list[Hit] = []

    def vector(query: str, of: Searchable) -> list[float]:
        nonlocal encoded
        start = perf_counter()
        try:
            return models.vector(query, of)
        finally:
            encoded += perf_counter() - start

    error: errors.PgpipeError | None = None
    try:
        with translated(), conn.transaction():  # a savepoint: the next mode is asked on the same connection
            steps = recorded(asking.hits_of(target, mode, question, known), question, models.known)
            hits = asking.take(steps, partial(search.fetch, conn), vector, models.rerank)
    except errors.PgpipeError as exc:
        # Nothing else can cause it.
        error = errors.UsageError(f"filter: {exc}") if question.filter and _is_misfit(exc) else exc
    return Answer(mode, question, hits, perf_counter() - began - encoded, encoded, error)


def facets(
    conn: Connection, models: Models, asked: Asked, columns: Columns, mode: SearchMode | None, home: str
) -> Facets:
    """How many rows match, and how many of them hold each value of these columns.

    Raises:
        UsageError: the entity, a column or a comparison is unknown, or a value does not fit its column.
        ModelLoading: the mode needs a model that is not ready yet.
    """
    try:
        steps = facets_of(asked.question, columns, asked.entity, mode, home)
        return asking.take(steps, partial(search.fetch, conn), models.vector)
    except errors.PgpipeError as exc:
        raise (errors.UsageError(f"facets: {exc}") if _is_misfit(exc) else exc) from exc


def _is_misfit(exc: errors.PgpipeError) -> bool:
    """Whether a name, a shape or a value did not fit the table."""
    state = getattr(exc.__cause__, "sqlstate", None) or ""
    return state in {"PP002", "PP003"} or state.startswith("22")


def parse_question(parameters: Mapping[str, str], conditions: Iterable[tuple[str, str, str]] = ()) -> Asked:
    """The question of a request.

    Args:
        parameters: q, entity, k, skip, filter (JSON), fuzzy (`false` switches corrections off), rerank (`true`,
            `false`, else as the entity's settings say; the model is always theirs).
        conditions: of the form: column, comparison, value; added to the filter.

    Raises:
        UsageError: the question is too long, k or skip is not a number in range, the filter is not a JSON object, or a
            comparison is unknown.
    """
    query = parameters.get("q", "").strip()
    if len(query) > LONGEST:
        raise errors.UsageError(f"the question has {len(query):,} characters; the most is {LONGEST:,}")
    where = _parse_filter(parameters.get("filter", ""))
    for column, comparison, value in conditions:
        if column:
            _add(where, column, comparison, value)
    k, skip = _number(parameters, "k", 10, 1, MOST), _number(parameters, "skip", 0, 0, FARTHEST)
    fuzzy = parameters.get("fuzzy", "true") != "false"
    rerank = {"true": True, "false": False}.get(parameters.get("rerank", ""))
    question = Question(query, k, where or None, skip, fuzzy=fuzzy, row=True, rerank=rerank)
    return Asked(question, parameters.get("entity") or None)


def _number(parameters: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    given = parameters.get(name) or str(default)
    if not (given.isascii() and given.isdigit() and len(given) < 10 and low <= int(given) <= high):  # noqa: PLR2004 - int() of a novel takes long
        raise errors.UsageError(f"{name} is a number from {low} to {high}, not {given[:20]!r}")
    return int(given)


def _parse_filter(text: str) -> Filter:
    if not text.strip():
        return {}
    try:
        parsed: Any = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise errors.UsageError(f"the filter is not valid JSON: {exc}") from None
    if not isinstance(parsed, dict):
        raise errors.UsageError('the filter is a JSON object, such as {"brand": "x", "price": {"lt": 20}}')
    return parsed


def _add(where: Filter, column: str, comparison: str, value: str) -> None:
    if comparison not in COMPARISONS:
        raise errors.UsageError(f"unknown comparison {comparison[:20]!r}; the comparisons are {', '.join(COMPARISONS)}")
    bounds = where.get(column)
    same = bounds if isinstance(bounds, dict) else {}
    where[column] = same | {comparison: True if comparison == "null" else value}
