"""The same searcher for programs that wait by `await`: the statements and the order of the steps are the same."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

from psycopg_pool import AsyncConnectionPool, PoolTimeout

from pgpipe import errors
from pgpipe.api.searcher import SIZE, STALE, Common
from pgpipe.db import translated
from pgpipe.db.pool import async_pool, fetch
from pgpipe.searching import asking, merged
from pgpipe.searching.ask import SEARCHABLE, Filter, Hit, Options, Question, Searchable, SearchMode, Statement
from pgpipe.searching.asked import recorded
from pgpipe.searching.describe import Described, describe
from pgpipe.searching.facets import Columns, Facets, facets_of
from pgpipe.searching.suggest import Suggestion, suggestions
from pgpipe.settings.model import Settings

Encode = Callable[[str, Searchable], list[float]]


class AsyncSearcher(Common):
    """Answers questions on pooled connections. Models work in threads, so the loop goes on."""

    def __init__(
        self, pool: AsyncConnectionPool[Any] | None = None, *, settings: Settings | None = None, size: int = SIZE
    ) -> None:
        """As `Searcher`; all questions are asked in one event loop."""
        super().__init__(pool, settings, size)

    async def search(
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
        return await self._take(
            lambda: recorded(asking.hits(question, entity, mode, self._declared, vector), question, self.settings)
        )

    async def facets(
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
        return await self._take(lambda: facets_of(question, columns, entity, mode, self._home))

    async def similar(
        self,
        key: dict[str, Any],
        entity: str | None = None,
        k: int = 10,
        filter: Filter | None = None,  # noqa: A002 - the word of the SQL function
        **options: Unpack[Options],
    ) -> list[Hit]:
        """The rows that are most like one: arguments and errors are those of `pgpipe.similar`."""
        question = Question("", k, filter, **options)
        return await self._take(lambda: merged.similar(question, key, entity, self._home))

    async def suggest(self, prefix: str, entity: str | None = None, k: int = 10) -> list[Suggestion]:
        """Completions of what is typed so far: arguments and errors are those of `pgpipe.suggest`."""
        return await self._take(lambda: suggestions(prefix, entity, k, self._home))

    async def embed_query(self, query: str, entity: str | None = None) -> list[float]:
        """The vector of a question, by the model of the entity's vectors: for SQL of your own."""
        return await self._take(lambda: asking.query_vector(query, entity, self._home))

    async def describe(self) -> list[Described]:
        """The tables that can be searched, with their modes and their columns."""
        return await self._take(lambda: describe(self._home))

    async def warm_up(self, *entities: str) -> None:
        """Connect and load the models of these entities, or all that this machine may run: no question waits for it.

        Raises:
            As `pgpipe.search`.
        """
        encode = self._vectors if entities else self._encode_allowed
        for by in await self._take_all(asking.warm_up(entities, self._declared), [], encode):
            await asyncio.to_thread(self._rerank.load, by.model)

    async def close(self) -> None:
        """Close the pool, unless it was given."""
        async with self._turn:
            if self._own is not None:
                await self._own.close()
                self._own = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _fresh(self) -> None:
        super()._fresh()
        self._turn = asyncio.Lock()

    async def _pool(self) -> AsyncConnectionPool[Any]:
        self._require_pool()
        if self._given is not None:
            return self._given  # type: ignore[no-any-return] # the one of __init__
        async with self._turn:
            if self._own is None:
                await asyncio.to_thread(self._require_server)
                own = async_pool(self._database, self._size)
                await own.open()
                self._own = own
            return self._own  # type: ignore[no-any-return] # of async_pool

    async def _take(self, steps: Callable[[], asking.Steps[asking.T]]) -> asking.T:
        """As `Searcher._take`."""
        if known := self._known():
            try:
                return await self._take_all(steps(), known, self._vectors)
            except STALE:
                if await self._fetch(SEARCHABLE) == known:  # it did not fail on that
                    raise
        return await self._take_all(steps(), [], self._vectors)

    async def _take_all(self, steps: asking.Steps[asking.T], known: list[Searchable], encode: Encode) -> asking.T:
        """As `asking.take`."""
        step = next(steps)
        while True:
            answer: Any
            if isinstance(step, asking.Encode):
                answer = await asyncio.to_thread(encode, step.query, step.target)
            elif isinstance(step, asking.Rerank):
                answer = await asyncio.to_thread(self._rerank, step)
            else:
                answer = known if known and step is SEARCHABLE else await self._fetch(step)
            try:
                step = steps.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return] # what the steps return

    async def _fetch(self, asked: Statement[Any]) -> list[Any]:
        """As `Searcher._fetch`."""
        pool = await self._pool()
        try:
            return self._learn(asked, await self._ask(pool, asked))
        except errors.Unreachable as exc:
            if isinstance(exc.__cause__, PoolTimeout):
                raise (await asyncio.to_thread(self._no_free)) from exc
        await asyncio.to_thread(self._require_server)
        await pool.check()
        return await self._ask(pool, asked)

    async def _ask(self, pool: AsyncConnectionPool[Any], asked: Statement[Any]) -> list[Any]:
        with translated():
            async with pool.connection() as conn:
                return await fetch(conn, asked.sql, asked.parameters(conn), asked.row)
