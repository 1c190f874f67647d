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
from pgpipe.config import EmbeddingSettings
from pgpipe.db import Connection, translated
from pgpipe.embed.model import Model, load_model
from pgpipe.search import query as search
from pgpipe.search.query import Filter, Hit, SearchMode, Target

MODES: tuple[SearchMode, ...] = get_args(SearchMode)
MOST, LONGEST = 100, 2000  # hits, and characters of a question
COMPARISONS = {"eq": "=", "ne": "≠", "lt": "<", "lte": "≤", "gt": ">", "gte": "≥", "null": "is empty"}


@dataclass(frozen=True)
class Question:
    """What is asked; filter as in `pgpipe search --filter`."""

    query: str
    entity: str | None
    k: int
    filter: Filter | None


@dataclass(frozen=True)
class Answer:
    """What one mode found, or the line that says why it found nothing."""

    mode: SearchMode
    hits: list[Hit]
    seconds: float
    error: errors.PgpipeError | None = None


class ModelLoading(errors.PgpipeError):
    """The model is not ready yet; asking again a little later helps."""


class Models:
    """Models by name, each loaded once by a thread of its own."""

    def __init__(self, settings: EmbeddingSettings, load: Callable[[EmbeddingSettings], Model] = load_model) -> None:
        self._settings = settings
        self._load = load
        self._loading: dict[str, Future[Model]] = {}
        self._lock = threading.Lock()  # of the dictionary, and of the model: one question at a time
        self._encoded = lru_cache(maxsize=256)(self._encode)  # vector and hybrid ask the same, and so do reloads

    def start(self, name: str) -> Future[Model]:
        """Begin to load a model, unless that has begun already."""
        with self._lock:
            if name not in self._loading:
                self._loading[name] = future = Future[Model]()
                threading.Thread(target=self._run, args=(name, future), name=f"load {name}", daemon=True).start()
            return self._loading[name]

    def vector(self, name: str, text: str) -> list[float]:
        """The vector of a text.

        Raises:
            ModelLoading: it is still being loaded.
            ModelError: it cannot be loaded.
        """
        future = self.start(name)
        if not future.done():
            raise ModelLoading(f"the model {name} is being loaded; ask again in a few seconds")
        future.result()
        return self._encoded(name, text)

    def _encode(self, name: str, text: str) -> list[float]:
        model = self._loading[name].result()
        with self._lock:
            vector: list[float] = model.encode([text])[0].tolist()
            return vector

    def _run(self, name: str, future: Future[Model]) -> None:
        try:
            future.set_result(self._load(self._settings.model_copy(update={"model": name})))
        except BaseException as exc:  # noqa: BLE001 - whoever asks gets it
            future.set_exception(exc)


def ask(conn: Connection, models: Models, question: Question, modes: Iterable[SearchMode] = MODES) -> list[Answer]:
    """The answers of each mode; a mode that fails says why, and the others answer.

    Raises:
        UsageError: there is no such entity, or the question is too long.
    """
    if len(question.query) > LONGEST:
        raise errors.UsageError(f"the question has {len(question.query):,} characters; the most is {LONGEST:,}")
    target = search.find_target(conn, question.entity)
    return [_answer(conn, models, target, question, mode) for mode in modes]


def _answer(conn: Connection, models: Models, target: Target, question: Question, mode: SearchMode) -> Answer:
    began = perf_counter()
    try:
        with translated(), conn.transaction():  # a savepoint: the next mode is asked on the same connection
            hits = _hits(conn, models, target, question, mode)
    except errors.PgpipeError as exc:
        state = getattr(exc.__cause__, "sqlstate", None) or ""
        if question.filter and (state in {"PP002", "PP003"} or state.startswith("22")):  # only a filter can cause these
            exc = errors.UsageError(f"filter: {exc}")
        return Answer(mode, [], perf_counter() - began, exc)
    return Answer(mode, hits, perf_counter() - began)


def _hits(conn: Connection, models: Models, target: Target, question: Question, mode: SearchMode) -> list[Hit]:
    if mode == "text":
        return search.text(conn, target, question.query, question.k, question.filter)
    if target.model is None:
        raise errors.VectorsMissing(f"{target.entity} has no embedding, so it can be searched in mode text only")
    vector = models.vector(target.model, question.query)
    if mode == "vector":
        return search.vector(conn, target, vector, question.k, question.filter)
    return search.hybrid(conn, target, question.query, vector, question.k, question.filter)


def parse_question(parameters: Mapping[str, str], conditions: Iterable[tuple[str, str, str]] = ()) -> Question:
    """The question of a request.

    Args:
        parameters: q, entity, k, filter (JSON).
        conditions: of the form: column, comparison, value; added to the filter.

    Raises:
        UsageError: k is no number in range, the filter is no JSON object, or a comparison is unknown.
    """
    where = _parse_filter(parameters.get("filter", ""))
    for column, comparison, value in conditions:
        if column:
            _add(where, column, comparison, value)
    k = parameters.get("k") or "10"
    if not (k.isascii() and k.isdigit() and 1 <= int(k) <= MOST):
        raise errors.UsageError(f"k is a number from 1 to {MOST}, not {k[:20]!r}")
    query = parameters.get("q", "").replace("\0", " ").strip()  # PostgreSQL has no NUL in text
    return Question(query, parameters.get("entity") or None, int(k), where or None)


def _parse_filter(text: str) -> Filter:
    if not text.strip():
        return {}
    try:
        parsed: Any = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise errors.UsageError(f"the filter is no JSON: {exc}") from None
    if not isinstance(parsed, dict):
        raise errors.UsageError('the filter is a JSON object, such as {"brand": "x", "price": {"lt": 20}}')
    return parsed


def _add(where: Filter, column: str, comparison: str, value: str) -> None:
    if comparison not in COMPARISONS:
        raise errors.UsageError(f"there is no comparison {comparison[:20]!r}; there are {', '.join(COMPARISONS)}")
    if comparison in {"eq", "null"}:
        where[column] = value if comparison == "eq" else None
    else:
        bounds = where.get(column)
        where[column] = (bounds if isinstance(bounds, dict) else {}) | {comparison: value}
