"""Searches that act as the role of a token: its rights and row policies hold, in a read-only transaction of its own."""

import asyncio
from typing import Any

from psycopg_pool import AsyncConnectionPool

from pgpipe.api.asynchronous import AsyncSearcher
from pgpipe.db import translated
from pgpipe.db.pool import fetch_as
from pgpipe.searching.ask import SEARCHABLE, TARGETS, Searchable, Statement
from pgpipe.settings.model import Settings
from pgpipe.web.api.shield import OTHERS
from pgpipe.web.api.tokens import Known
from pgpipe.web.asking import Models

# What the role may read, and the token may search. To a request nothing else exists.
READABLE = f"""
    select * from ({TARGETS}) known
     where (%(entities)s::bigint[] is null or oid = any(%(entities)s::bigint[]))
       and pg_catalog.has_schema_privilege(schema, 'usage')
       and pg_catalog.has_any_column_privilege(oid::oid, 'select')
"""  # noqa: S608 - a statement of ours


class ActingSearcher(AsyncSearcher):
    """The searches of one token."""

    def __init__(self, pool: AsyncConnectionPool[Any], settings: Settings, models: Models, token: Known) -> None:
        """Args are those of AsyncSearcher, and whose searches these are."""
        super().__init__(pool, settings=settings)
        self._vectors = models.vector
        self._token = token
        self._limit = settings.serve.timeout
        connections = settings.serve.connections
        self._room = asyncio.Semaphore(connections - connections // OTHERS)  # the rest is for other tokens

    async def _ask(self, pool: AsyncConnectionPool[Any], asked: Statement[Any]) -> list[Any]:
        if asked is SEARCHABLE:
            asked = Statement(READABLE, Searchable, {"entities": self._token.entities})
        with translated():
            async with self._room, pool.connection(self._limit) as conn:
                values = asked.parameters(conn)
                return await fetch_as(conn, self._token.role, self._limit, asked.sql, values, asked.row)
