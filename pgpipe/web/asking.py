"""Asking one question in several modes. The model is loaded in the background: text works before and without it."""

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from typing import Any, get_args

from pgpipe import errors
from pgpipe.api import question_vector
from pgpipe.db import Connection, translated
from pgpipe.embed.model.base import Model, load_model
from pgpipe.searching import ask as search
from pgpipe.searching.ask import Filter, Hit, Question, Searchable, SearchMode
from pgpipe.settings.model import EmbeddingSettings

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
    seconds: float
    error: errors.PgpipeError | None = None


class ModelLoading(errors.PgpipeError):
    """The model is not ready yet; asking again a little later helps."""


class Models:
    """Models, each loaded once by a separate thread."""

    def __init__(self, settings: EmbeddingSettings, load: Callable[[EmbeddingSettings], Model] = load_model) -> None:
        self._settings = settings
        self._load = load
        self._loading: dict[str, Future[Model]] = {}
        self._lock = threading.Lock()
        # The modes vector and hybrid ask the same, and so does a page that is loaded again.
        self._vector = lru_cache(maxsize=256)(self._encode)

    def start(self, name: str) -> Future[Model]:
        """Begin to load a model, unless that has begun already."""
        with self._lock:
            if name not in self._loading:
                self._loading[name] = future = Future[Model]()
                threading.Thread(target=self._run, args=(name, future), name=f"load {name}", daemon=True).start()
            return self._loading[name]

    def vector(self, query: str, target: Searchable) -> list[float]:
        """The vector of a question.

        Raises:
            ModelLoading: the model is still being loaded.
            ModelError: it cannot be loaded.
            VectorsMissing, UsageError: as `question_vector`.
        """
        return self._vector(query, target)

    def _encode(self, query: str, target: Searchable) -> list[float]:
        return question_vector(query, target, self._settings, self._loaded)

    def _loaded(self, wanted: EmbeddingSettings) -> Model:
        future = self.start(wanted.model)
        if not future.done():
            raise ModelLoading(f"the model {wanted.model} is being loaded; ask again in a few seconds")
        return future.result()

    def _run(self, name: str, future: Future[Model]) -> None:
        try:
            future.set_result(self._load(self._settings.for_model(name)))
        except BaseException as exc:  # noqa: BLE001 - the thread that asks gets it
            future.set_exception(exc)


def ask(conn: Connection, models: Models, asked: Asked, home: str, modes: Iterable[SearchMode] = MODES) -> list[Answer]:
    """The answers of each mode; a mode that fails says why, and the others answer. `home` is the settings' schema.

    Raises:
        UsageError: the entity is unknown, or the question is too long.
    """
    if len(asked.question.query) > LONGEST:
        raise errors.UsageError(f"the question has {len(asked.question.query):,} characters; the most is {LONGEST:,}")
    target = search.find_searchable(conn, asked.entity, home)
    return [_answer(conn, models, target, asked.question, mode) for mode in modes]


def _answer(conn: Connection, models: Models, target: Searchable, question: Question, mode: SearchMode) -> Answer:
    began = perf_counter()
    hits: list[Hit] = []
    error: errors.PgpipeError | None = None
    try:
        if mode != "text":
            search.check_filter(conn, target, question.filter)
        vector = None if mode == "text" else models.vector(question.query, target)
        with translated(), conn.transaction():  # a savepoint: the next mode is asked on the same connection
            hits = search.answer(conn, target, mode, question, vector)
    except errors.PgpipeError as exc:
        state = getattr(exc.__cause__, "sqlstate", None) or ""
        blamed = question.filter and (
            state in {"PP002", "PP003"} or state.startswith("22")
        )  # nothing else can cause it
        error = errors.UsageError(f"filter: {exc}") if blamed else exc
    return Answer(mode, question, hits, perf_counter() - began, error)


def parse_question(parameters: Mapping[str, str], conditions: Iterable[tuple[str, str, str]] = ()) -> Asked:
    """The question of a request.

    Args:
        parameters: q, entity, k, skip, filter (JSON).
        conditions: of the form: column, comparison, value; added to the filter.

    Raises:
        UsageError: k or skip is not a number in range, the filter is not a JSON object, or a comparison is unknown.
    """
    where = _parse_filter(parameters.get("filter", ""))
    for column, comparison, value in conditions:
        if column:
            _add(where, column, comparison, value)
    k, skip = _number(parameters, "k", 10, 1, MOST), _number(parameters, "skip", 0, 0, FARTHEST)
    return Asked(Question(parameters.get("q", "").strip(), k, where or None, skip), parameters.get("entity") or None)


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
