"""The Python face of search: a question in, typed hits out. Models stay loaded between calls."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Unpack

from pgpipe.api.reranking import Reranking
from pgpipe.api.vectors import question_vector
from pgpipe.db import Database
from pgpipe.searching import asking, merged
from pgpipe.searching.ask import Filter, Hit, Options, Question, Searchable, SearchMode, fetch
from pgpipe.searching.asked import recorded
from pgpipe.searching.facets import Columns, Facets, facets_of
from pgpipe.searching.rerank import declared
from pgpipe.searching.suggest import Suggestion, suggestions
from pgpipe.settings.model import Settings
from pgpipe.settings.sources import load_settings

__all__ = ["embed_query", "facets", "question_vector", "search", "similar", "suggest"]


def search(
    query: str,
    entity: str | Sequence[str] | None = None,
    mode: SearchMode | None = None,
    k: int = 10,
    filter: Filter | None = None,  # noqa: A002 - the word of the SQL function
    *,
    vector: list[float] | None = None,
    settings: Settings | None = None,
    database: Database | None = None,
    **options: Unpack[Options],
) -> list[Hit]:
    """Answer a question from one entity, on a connection of its own. For many questions take a Searcher.

    Args:
        query: words or a sentence; "phrases" must occur, -words must not, word* is the beginning of one.
        entity: its name, or `schema.name` outside the schema of the settings; may be left out if there is only one.
            Hits of several are one list, by shares from 0 to 1 of each.
        mode: text, vector or hybrid; None takes hybrid if the entity has vectors, else text.
        k: at most so many hits.
        filter: {"column": value | [values] | None | {"gte": low, "lt": high}, "json.name": …, "or": [filters], "not":
            filter}, applied before ranking. Dates, times, Decimal and UUID may be values.
        vector: of the question, if you have it; else the model of the entity's vectors makes it.
        settings: by default those of the configuration file and the environment.
        database: by default the one of the settings.
        options: see `Options`.

    Raises:
        UsageError: the entity or mode is unknown, the filter is not valid JSON, or the entity's vectors have other
            dimensions than the model on this machine.
        OtherModel: that model has the name of the one that made the vectors, but other weights.
        VectorsMissing: vectors are asked for, but the database has no pgvector or the entity no embedding.
        Unreachable, DatabaseError: from the server.
    """
    question, known = Question(query, k, filter, **options), settings or load_settings()

    def steps(home: str) -> asking.Steps[list[Hit]]:
        return recorded(asking.hits(question, entity, mode, declared(known, home), vector), question, known)

    return _take(steps, known, database)


def similar(
    key: dict[str, Any],
    entity: str | None = None,
    k: int = 10,
    filter: Filter | None = None,  # noqa: A002 - the word of the SQL function
    *,
    settings: Settings | None = None,
    database: Database | None = None,
    **options: Unpack[Options],
) -> list[Hit]:
    """The rows that are most like the one with this key: by its vectors, or by its words if it has none.

    Args and errors are those of `search`; `skip`, `prefix`, `fuzzy` and `explain` mean nothing here.
    """
    question = Question("", k, filter, **options)
    return _take(lambda home: merged.similar(question, key, entity, home), settings, database)


def embed_query(
    query: str, entity: str | None = None, *, settings: Settings | None = None, database: Database | None = None
) -> list[float]:
    """The vector of a question, by the model of the entity's vectors: for SQL of your own.

    Raises:
        As `search`.
    """
    return _take(lambda home: asking.query_vector(query, entity, home), settings, database)


def facets(
    query: str,
    columns: Columns,
    entity: str | None = None,
    mode: SearchMode = "text",
    k: int = 10,
    filter: Filter | None = None,  # noqa: A002 - the word of the SQL function
    *,
    settings: Settings | None = None,
    database: Database | None = None,
    **options: Unpack[Options],
) -> Facets:
    """How many rows match a question, and how many of them hold each value of these columns.

    Args:
        query: as in `search`; an empty one is matched by every row.
        columns: names such as "brand" or "attributes.colour"; {"price": [10, 50]} counts ranges.
        entity: as in `search`.
        mode: text counts all rows that match; vector and hybrid count the 100 best.
        k: at most so many values of each column.
        filter: as in `search`; one on a facet's own column does not narrow that facet.
        settings: as in `search`.
        database: as in `search`.
        options: see `Options`.

    Raises:
        As `search`.
    """
    question = Question(query, k, filter, **options)
    return _take(lambda home: facets_of(question, columns, entity, mode, home), settings, database)


def suggest(
    prefix: str,
    entity: str | None = None,
    k: int = 10,
    *,
    settings: Settings | None = None,
    database: Database | None = None,
) -> list[Suggestion]:
    """Completions of what is typed so far: of its last word, and titles that begin so.

    Raises:
        As `search`.
    """
    return _take(lambda home: suggestions(prefix, entity, k, home), settings, database)


def _take(
    steps: Callable[[str], asking.Steps[asking.T]], settings: Settings | None, database: Database | None
) -> asking.T:
    """Take the steps, which are given the schema of names that state none, on a connection of their own."""
    known = settings or load_settings()
    asked = database or Database(known.database.for_reading())

    def encode(query: str, target: Searchable) -> list[float]:
        return question_vector(query, target, known.embedding)

    with asked.connect(keep_timeouts=True) as conn:
        return asking.take(steps(asked.schema), partial(fetch, conn), encode, Reranking(known.rerank))
