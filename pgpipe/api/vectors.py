"""Vectors of questions: each model is loaded once in a process, and each question is encoded once."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from functools import lru_cache
from typing import TYPE_CHECKING, Generic, TypeVar

from pgpipe import errors
from pgpipe.searching.ask import Searchable
from pgpipe.settings.backend import ModelSettings
from pgpipe.settings.model import EmbeddingSettings

if TYPE_CHECKING:
    from pgpipe.embed.model.base import Model

MODELS = 4  # that stay loaded
QUESTIONS = 1024  # whose vectors are kept
Load = Callable[[EmbeddingSettings], "Model"]
S = TypeVar("S", bound=ModelSettings)
M = TypeVar("M")


class ModelLoading(errors.PgpipeError):
    """The model is not ready yet; asking again a little later helps."""


class Loader(Generic[S, M]):
    """Loads each model once, in a thread of its own: who asks meanwhile waits for that, or hears of it."""

    def __init__(self, load: Callable[[S], M], most: int = MODELS) -> None:
        self._load = load
        self._most = most
        self._loading: OrderedDict[S, Future[M]] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, settings: S) -> Future[M]:
        """Begin to load a model, unless that has begun already."""
        with self._lock:
            if settings not in self._loading:
                future: Future[M] = Future()
                self._loading[settings] = future
                name = f"load {settings.model}"
                threading.Thread(target=self._run, args=(settings, future), name=name, daemon=True).start()
                if len(self._loading) > self._most:
                    self._loading.popitem(last=False)
            self._loading.move_to_end(settings)
            return self._loading[settings]

    def __call__(self, settings: S, *, wait: bool = True) -> M:
        """The model.

        Raises:
            ModelLoading: it is still being loaded, and the caller does not wait.
            ModelError, Unreachable: it cannot be loaded. The next call tries again.
        """
        future = self.start(settings)
        if not (wait or future.done()):
            raise ModelLoading(f"the model {settings.model} is being loaded; ask again in a few seconds")
        try:
            return future.result()
        except BaseException:
            self._forget(settings, future)
            raise

    def _forget(self, settings: S, future: Future[M]) -> None:
        with self._lock:
            if self._loading.get(settings) is future and future.done():
                del self._loading[settings]

    def _run(self, settings: S, future: Future[M]) -> None:
        try:
            future.set_result(self._load(settings))
        except BaseException as exc:  # noqa: BLE001 - the threads that wait get it
            future.set_exception(exc)

    def reset(self) -> None:
        """Forget everything: after a fork, what the parent loaded has lost its threads, and a lock may be held."""
        self._lock = threading.Lock()
        self._loading.clear()


class QuestionVectors:
    """Vectors of questions, by the model of the store that is asked; the last ones are kept."""

    def __init__(self, settings: EmbeddingSettings, load: Callable[..., "Model"], kept: int = QUESTIONS) -> None:
        self._settings = settings
        self._load = load
        self._vector = lru_cache(maxsize=kept)(self._encode)

    def __call__(self, query: str, target: Searchable) -> list[float]:
        """The vector of a question: as `question_vector`."""
        return list(self._vector(query, target))

    def _encode(self, query: str, target: Searchable) -> tuple[float, ...]:
        return tuple(question_vector(query, target, self._settings, self._load))


def question_vector(
    query: str,
    target: Searchable,
    settings: EmbeddingSettings,
    model: Callable[[EmbeddingSettings], "Model"] | None = None,
) -> list[float]:
    """The question as the model of the target's vectors reads it.

    Args:
        query: the question.
        target: whose active embedding names the model.
        settings: where and how models run here.
        model: gives a loaded model; by default one that stays loaded.

    Raises:
        VectorsMissing: the target has no embedding.
        ModelRefused: this machine may not run the model.
        UsageError, OtherModel: the model on this machine makes other vectors than the target has.
    """
    from pgpipe.embed.model import identity
    from pgpipe.embed.model.base import encode_query, fit

    if target.model is None:
        raise errors.VectorsMissing(f"{target.qualified} has no embedding, so it can be searched in mode text only")
    loaded = (model or models)(settings.for_model(target.model))
    if target.dims is None or target.dims not in {loaded.dims, settings.truncate_dim}:
        raise errors.UsageError(
            f"the vectors of {target.qualified} have {target.dims} dimensions; the model {target.model!r} on this"
            f" machine makes {loaded.dims}, so it did not make them"
        )
    if target.fingerprint and (taken := _fingerprint(loaded)):
        identity.require_same(target.fingerprint, taken, target.model, target.qualified, target.embedding or "")
    return encode_query(fit(loaded, target.dims, target.qualified, settings.truncate_dim), query)


def _fingerprint(model: "Model") -> bytes | None:
    """Taken once of each model that is loaded."""
    from pgpipe.embed.model import identity

    with _taking:
        if id(model) in _fingerprints:
            return _fingerprints[id(model)][1]
    taken = identity.take(model)  # not under the lock: a service may wait, and two threads find the same
    with _taking:
        _fingerprints[id(model)] = (model, taken)
        if len(_fingerprints) > MODELS:
            _fingerprints.pop(next(iter(_fingerprints)))
    return taken


def _after_fork() -> None:
    """In a child: what the parent loaded has lost its threads, and its locks may be held for ever."""
    global _taking  # noqa: PLW0603 - the lock of the parent may be held
    _taking = threading.Lock()
    _fingerprints.clear()
    models.reset()


def _load_for_questions(settings: EmbeddingSettings) -> "Model":
    from pgpipe.embed.model.bert import load_for_questions

    return load_for_questions(settings)


models: Loader[EmbeddingSettings, "Model"] = Loader(_load_for_questions)  # of this process
_fingerprints: "dict[int, tuple[Model, bytes | None]]" = {}
_taking = threading.Lock()
os.register_at_fork(after_in_child=_after_fork)
