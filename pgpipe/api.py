"""The Python face of search: a question in, typed hits out. The model stays loaded between calls."""

from collections.abc import Callable
from functools import lru_cache
from typing import get_args

from pgpipe import errors
from pgpipe.db import Database
from pgpipe.embed.model import identity
from pgpipe.embed.model.base import Model, encode_query, fit, load_model
from pgpipe.searching import ask
from pgpipe.searching.ask import Filter, Hit, Question, Searchable, SearchMode
from pgpipe.settings.model import EmbeddingSettings, Settings
from pgpipe.settings.sources import load_settings

MODELS = 4  # that stay loaded
_fingerprints: dict[int, tuple[Model, bytes | None]] = {}


def search(
    query: str,
    entity: str | None = None,
    mode: SearchMode | None = "hybrid",
    k: int = 10,
    filter: Filter | None = None,  # noqa: A002 - the word of the SQL function
    *,
    skip: int = 0,
    prefix: bool = False,
    settings: Settings | None = None,
    database: Database | None = None,
) -> list[Hit]:
    """Answer a question from one entity.

    Args:
        query: words or a sentence; "phrases" must occur, -words must not, word* is the beginning of one.
        entity: its name, or `schema.name` outside the schema of the settings; may be left out if there is only one.
        mode: text, vector or hybrid; None takes hybrid where the entity has vectors, else text.
        k: at most so many hits.
        filter: {"column": value | [values] | None | {"gte": low, "lt": high}, "json.name": …, "or": [filters], "not":
            filter}, applied before ranking. Dates, times, Decimal and UUID may be values.
        skip: leave out so many hits, those of the pages before.
        prefix: the last word is the beginning of one.
        settings: by default those of the configuration file and the environment.
        database: by default the one of the settings.

    Raises:
        UsageError: the entity or mode is unknown, the filter is not valid JSON, or the entity's vectors have other
            dimensions than the model on this machine.
        OtherModel: that model has the name of the one that made the vectors, but other weights.
        VectorsMissing: vectors are asked for, but the database has no pgvector or the entity no embedding.
        Unreachable, DatabaseError: from the server.
    """
    if mode not in {None, *get_args(SearchMode)}:
        raise errors.UsageError(f"unknown mode {mode!r}; the modes are {', '.join(get_args(SearchMode))}")
    settings = settings or load_settings()
    database = database or Database(settings.database)
    question = Question(query, k, filter, skip, prefix)
    with database.connect(keep_timeouts=True) as conn:
        target = ask.find_searchable(conn, entity, database.schema)
        mode = mode or target.best_mode
        # What was found holds for the whole search, also if another embedding becomes active meanwhile.
        vector = None
        if mode != "text":
            ask.check_filter(conn, target, filter)
            vector = question_vector(question.query, target, settings.embedding)
        return ask.answer(conn, target, mode, question, vector)


def question_vector(
    query: str,
    target: Searchable,
    settings: EmbeddingSettings,
    model: Callable[[EmbeddingSettings], Model] | None = None,
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
    if target.model is None:
        raise errors.VectorsMissing(f"{target.qualified} has no embedding, so it can be searched in mode text only")
    loaded = (model or _model)(settings.for_model(target.model))
    if target.dims is None or target.dims not in {loaded.dims, settings.truncate_dim}:
        raise errors.UsageError(
            f"the vectors of {target.qualified} have {target.dims} dimensions; the model {target.model!r} on this"
            f" machine makes {loaded.dims}, so it did not make them"
        )
    if target.fingerprint and (taken := _fingerprint(loaded)):
        identity.require_same(target.fingerprint, taken, target.model, target.qualified, target.embedding or "")
    return encode_query(fit(loaded, target.dims, target.qualified, settings.truncate_dim), query)


def _fingerprint(model: Model) -> bytes | None:
    """Taken once of each model that is loaded."""
    if id(model) not in _fingerprints:
        _fingerprints[id(model)] = (model, identity.take(model))
        if len(_fingerprints) > MODELS:
            _fingerprints.pop(next(iter(_fingerprints)))
    return _fingerprints[id(model)][1]


@lru_cache(maxsize=MODELS)
def _model(settings: EmbeddingSettings) -> Model:
    return load_model(settings)
