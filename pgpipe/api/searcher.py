"""Searchers: for programs that ask often. Connections and models stay, and any number of threads may ask."""

import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

from psycopg_pool import ConnectionPool, PoolTimeout

from pgpipe import errors
from pgpipe.api.reranking import Reranking
from pgpipe.api.vectors import QuestionVectors, models
from pgpipe.db import Database, translated
from pgpipe.db.pool import open_pool
from pgpipe.searching import asking, merged
from pgpipe.searching.ask import SEARCHABLE, Filter, Hit, Options, Question, Searchable, SearchMode, Statement, fetch
from pgpipe.searching.asked import recorded
from pgpipe.searching.describe import Described, describe
from pgpipe.searching.facets import Columns, Facets, facets_of
from pgpipe.searching.rerank import declared
from pgpipe.searching.suggest import Suggestion, suggestions
from pgpipe.settings.model import Settings
from pgpipe.settings.sources import load_settings

SIZE = 8  # connections of a searcher's own pool
KEPT = 1.0  # seconds that the list of tables is believed, unless a question that relies on it fails
STALE = (errors.DatabaseError, errors.UsageError, errors.VectorsMissing)  # that a changed table may cause


class Common:
    """What both kinds of searcher have in common: settings, vectors of questions, and a process."""

    def __init__(self, pool: Any, settings: Settings | None, size: int) -> None:  # noqa: ANN401 - of either kind
        self.settings = settings or load_settings()
        self._database = Database(self.settings.database.for_reading())
        self._given = pool
        self._size = size
        self._vectors = QuestionVectors(self.settings.embedding, models)
        self._rerank = Reranking(self.settings.rerank)
        self._declared = declared(self.settings, self._home)
        self._fresh()
        _searchers.add(self)

    @property
    def _home(self) -> str:
        return self._database.schema

    def _fresh(self) -> None:
        """Nothing is open yet."""
        self._own: Any = None
        self._tables: tuple[float, list[Searchable]] = (0.0, [])

    def after_fork(self) -> None:
        """In a child: connections are the parent's, and the threads of its pool are not here."""
        self._fresh()
        self._lost = self._given is not None

    _lost = False

    def _known(self) -> list[Searchable]:
        """The tables as a question found them a moment ago; none if that is too long ago."""
        until, tables = self._tables
        return tables if time.monotonic() < until else []

    def _learn(self, asked: Statement[Any], rows: list[Any]) -> list[Any]:
        """Keep the tables, if that is what was asked."""
        if asked is SEARCHABLE:
            self._tables = (time.monotonic() + KEPT, rows)
        return rows

    def _require_pool(self) -> None:
        if self._lost:
            raise errors.UsageError(
                "the pool of this searcher was opened before this process was forked; open the pool and make the"
                " searcher in the child, or make the searcher without a pool"
            )

    def _encode_allowed(self, query: str, target: Searchable) -> list[float]:
        """The vector, or none if the model is for other machines."""
        return self._vectors(query, target) if self.settings.embedding.allows(target.model or "") else []

    def _require_server(self) -> None:
        """Say at once why no connection can be opened, where a pool would try again and again."""
        if self._given is None:
            self._database.connect(keep_timeouts=True).close()

    def _no_free(self) -> errors.Unreachable:
        """Why a pool gave no connection in time."""
        self._require_server()
        return errors.Unreachable("no connection of the pool became free in time; make it larger, or ask less at once")


class Searcher(Common):
    """Answers questions on pooled connections; the models of the stores are loaded once in a process."""

    def __init__(
        self, pool: ConnectionPool[Any] | None = None, *, settings: Settings | None = None, size: int = SIZE
    ) -> None:
        """Connections are opened when the first question comes.

        Args:
            pool: of your own, of psycopg_pool; the settings of its sessions hold.
            settings: by default those of the configuration file and the environment.
            size: connections of the pool that is made if none is given.
        """
        super().__init__(pool, settings, size)

    def _fresh(self) -> None:
        super()._fresh()
        self._opening = threading.Lock()

    def search(
        self,
        query: str,
        entity: str | Sequence[str] | None = None,
        mode: SearchMode | None = None,
        k: int = 10,
        filter: Filter | None = None,  # noqa: A002 - the word of the SQL function
        *,
        vector: Sequence[float] | None = None,
        **options: Unpack[Options],
    ) -> list[Hit]:
        """Answer a question: arguments and errors are those of `pgpipe.search`."""
        question = Question(query, k, filter, **options)
        return self._take(
            lambda: recorded(asking.hits(question, entity, mode, self._declared, vector), question, self.settings)
        )

    def facets(
        self,
        query: str,
        columns: Columns,
        entity: str | None = None,
        mode: SearchMode = "text",
        k: int = 10,
        filter: Filter | None = None,  # noqa: A002 - the word of the SQL function
        **options: Unpack[Options],
    ) -> Facets:
        """Count rows by their values: arguments and errors are those of `pgpipe.facets`."""
        question = Question(query, k, filter, **options)
        return self._take(lambda: facets_of(question, columns, entity, mode, self._home))

    def similar(
        self,
        key: dict[str, Any],
        entity: str | None = None,
        k: int = 10,
        filter: Filter | None = None,  # noqa: A002 - the word of the SQL function
        **options: Unpack[Options],
    ) -> list[Hit]:
        """The rows that are most like one: arguments and errors are those of `pgpipe.similar`."""
        question = Question("", k, filter, **options)
        return self._take(lambda: merged.similar(question, key, entity, self._home))

    def suggest(self, prefix: str, entity: str | None = None, k: int = 10) -> list[Suggestion]:
        """Completions of what is typed so far: arguments and errors are those of `pgpipe.suggest`."""
        return self._take(lambda: suggestions(prefix, entity, k, self._home))

    def embed_query(self, query: str, entity: str | None = None) -> list[float]:
        """The vector of a question, by the model of the entity's vectors: for SQL of your own."""
        return self._take(lambda: asking.query_vector(query, entity, self._home))

    def describe(self) -> list[Described]:
        """The tables that can be searched, with their modes and their columns."""
        return self._take(lambda: describe(self._home))

    def warm_up(self, *entities: str) -> None:
        """Connect and load the models of these entities, or all that this machine may run: no question waits for it.

        Raises:
            As `pgpipe.search`.
        """
        encode = self._vectors if entities else self._encode_allowed
        for by in asking.take(asking.warm_up(entities, self._declared), self._fetch, encode):
            self._rerank.load(by.model)

    def close(self) -> None:
        """Close the pool, unless it was given."""
        with self._opening:
            if self._own is not None:
                self._own.close()
                self._own = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _pool(self) -> ConnectionPool[Any]:
        self._require_pool()
        if self._given is not None:
            return self._given  # type: ignore[no-any-return] # the one of __init__
        with self._opening:
            if self._own is None:
                self._require_server()
                self._own = open_pool(self._database, self._size)
            return self._own  # type: ignore[no-any-return] # of open_pool

    def _take(self, steps: Callable[[], asking.Steps[asking.T]]) -> asking.T:
        """Take the steps; once more if they fail on what was known of the tables."""
        if known := self._known():
            try:
                return asking.take(steps(), self._knowing(known), self._vectors, self._rerank)
            except STALE:
                if self._fetch(SEARCHABLE) == known:  # it did not fail on that
                    raise
        return asking.take(steps(), self._fetch, self._vectors, self._rerank)

    def _knowing(self, known: list[Searchable]) -> Callable[[Statement[Any]], list[Any]]:
        return lambda asked: known if asked is SEARCHABLE else self._fetch(asked)

    def _fetch(self, asked: Statement[Any]) -> list[Any]:
        """The rows of an answer. No connection is held between two statements, such as while a model works."""
        pool = self._pool()
        try:
            return self._learn(asked, _fetch(pool, asked))
        except errors.Unreachable as exc:
            if isinstance(exc.__cause__, PoolTimeout):
                raise self._no_free() from exc
        # A connection was lost while nobody used it. Others will have been, too: a server that restarted cut all.
        self._require_server()
        pool.check()
        return _fetch(pool, asked)


def _fetch(pool: ConnectionPool[Any], asked: Statement[Any]) -> list[Any]:
    with translated(), pool.connection() as conn:
        return fetch(conn, asked)


def _after_fork() -> None:
    for searcher in list(_searchers):
        searcher.after_fork()


_searchers: weakref.WeakSet[Common] = weakref.WeakSet()
os.register_at_fork(after_in_child=_after_fork)
