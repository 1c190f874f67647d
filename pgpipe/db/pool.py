"""Pools of connections for programs that ask often: their settings are pinned as those of any other connection."""

from typing import Any, TypeVar

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from pgpipe.db import pins
from pgpipe.db.connect import Database
from pgpipe.db.errors import translated

T = TypeVar("T")
# Timeouts of the role hold: somebody may want to bound questions.
SETTINGS = {**pins.MEANING, **pins.COST, **pins.WAITS}
# `set local` with parameters, for the transaction alone.
ACT = """
    select pg_catalog.set_config('role', %(role)s, true), pg_catalog.set_config('statement_timeout', %(limit)s, true)
"""
# It wrote nothing. A rollback also takes back settings that code of a table made for the session, in a policy say.
BEGIN, END = "begin read only", "rollback"
WAIT = 30.0  # seconds for a connection that becomes free


class AsyncPinned(psycopg.AsyncConnection[pins.Row]):
    """A connection for questions, whose settings hold, also through a pooler that gives each transaction a server."""

    pooled = False  # each transaction begins with the settings

    async def pin(self) -> None:
        """Set what differs; if another server answers than the login named, in each transaction."""
        named = self.info.backend_pid
        self.pooled = await self._set(named) != named

    async def pin_transaction(self) -> None:
        """Set what differs for the transaction, which begins with it."""
        await self._set(pins.EACH_TRANSACTION)

    async def _set(self, server: int) -> int:
        cursor = await self.execute(pins.PIN, {"pins": Jsonb(SETTINGS), "server": server})
        found = await cursor.fetchone()
        assert found is not None
        return int(found[0])


def open_pool(database: Database, size: int) -> ConnectionPool[pins.Pinned]:
    """A pool of at most so many connections; it opens them as they are needed.

    Raises:
        UsageError: the connection string cannot be read.
    """
    return ConnectionPool(
        connection_class=pins.Pinned,
        kwargs=database.parameters(),
        configure=_pin,
        min_size=1,
        max_size=size,
        timeout=WAIT,
        name="pgpipe",
        open=True,
    )


def async_pool(database: Database, size: int, *, read_only: bool = False) -> AsyncConnectionPool[AsyncPinned]:
    """The same for async programs; it is opened by its `open`.

    Args:
        database: whose connections.
        size: at most so many.
        read_only: what writes is refused.

    Raises:
        UsageError: the connection string cannot be read.
    """
    return AsyncConnectionPool(
        connection_class=AsyncPinned,
        kwargs=database.parameters(),
        configure=_pin_reading if read_only else AsyncPinned.pin,
        min_size=1,
        max_size=size,
        timeout=WAIT,
        name="pgpipe",
        open=False,
    )


async def fetch(conn: psycopg.AsyncConnection[Any], sql: str, values: dict[str, Any], row: type[T]) -> list[T]:
    """The rows of an answer, on a connection of whatever pool."""
    with translated():
        async with conn.cursor(row_factory=class_row(row)) as cursor:
            if isinstance(conn, AsyncPinned) and conn.pooled:
                async with conn.transaction():
                    await conn.pin_transaction()
                    await cursor.execute(sql.encode(), values)
                    return await cursor.fetchall()
            await cursor.execute(sql.encode(), values)
            return await cursor.fetchall()


async def fetch_as(
    conn: psycopg.AsyncConnection[Any], role: str, seconds: float, sql: str, values: dict[str, Any], row: type[T]
) -> list[T]:
    """As `fetch`, with the rights of a role, in a read-only transaction that ends with the answer.

    All statements are sent at once. If one of them fails, none of those after it runs.

    Args:
        conn: that commits each statement; its login is a member of the role.
        role: that asks.
        seconds: after which a statement is cancelled.
        sql: what is asked.
        values: of it.
        row: what a row becomes.
    """
    with translated():
        async with conn.cursor(row_factory=class_row(row)) as cursor:
            async with conn.pipeline():
                await conn.execute(BEGIN)
                if isinstance(conn, AsyncPinned) and conn.pooled:
                    await conn.pin_transaction()
                await conn.execute(ACT, {"role": role, "limit": f"{round(seconds * 1000)}ms"})
                await cursor.execute(sql.encode(), values)
                await conn.execute(END)
            return await cursor.fetchall()


async def _pin_reading(conn: AsyncPinned) -> None:
    await conn.pin()
    await conn.set_read_only(True)  # each transaction that `fetch` begins behind a pooler
    if not conn.pooled:
        await conn.execute("set default_transaction_read_only = on")


def _pin(conn: pins.Pinned) -> None:
    conn.pin(SETTINGS)
