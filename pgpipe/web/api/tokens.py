"""Who a request is from, and whether it may ask now: answered from memory, with the database behind it."""

import asyncio
import hmac
import time
from dataclasses import dataclass, field
from typing import Any

from psycopg_pool import AsyncConnectionPool

from pgpipe.db import translated
from pgpipe.db.pool import fetch
from pgpipe.errors import PgpipeError
from pgpipe.tokens import hash_of, id_of

LIVE = """
    select token.token_id, token.hash, token.role::text as role, token.entities::oid[]::bigint[] as entities,
           token.per_minute, token.burst
      from pgpipe.token
      join pg_catalog.pg_roles role on role.rolname = token.role and not role.rolsuper and not role.rolbypassrls
       and pg_catalog.pg_has_role(role.oid, pg_catalog.to_regrole('pgpipe_api')::oid, 'member') is not true
     where token.revoked_at is null and (token.expires_at > pg_catalog.now()) is not false
"""
TAKE = "select granted, wait from pgpipe_internal.take_requests(%(token)s, %(wanted)s, %(unspent)s)"
KEPT = 5.0  # seconds that the list of tokens is believed
SOONEST = 1.0  # seconds between two looks at the database for tokens that are not known
SHARE = 1.0  # seconds that a share of the requests of a token may be spent, without asking again
PATIENCE = 5.0  # seconds for a free connection
NOBODY = bytes(32)


class Unauthorized(PgpipeError):
    """No token, or none that holds."""


class TooMany(PgpipeError):
    """The token has no request left."""

    def __init__(self, wait: float) -> None:
        super().__init__("too many requests; try again later")
        self.wait = wait


@dataclass(frozen=True)
class Known:
    """A token that holds."""

    token_id: str
    hash: bytes
    role: str
    entities: list[int] | None
    per_minute: int
    burst: int

    @property
    def wanted(self) -> int:
        """How many requests are taken at once: what a second brings, and at most a tenth of the burst."""
        return max(1, min(self.burst // 10, self.per_minute // 60))


@dataclass(frozen=True)
class Granted:
    """What the bucket gave."""

    granted: int
    wait: float


@dataclass
class Share:
    """Requests of a token that this process may let pass."""

    left: int = 0
    until: float = 0.0
    refused_until: float = 0.0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Tokens:
    """The tokens that hold, and this process's shares of their buckets.

    A bucket is one row of the database. A process takes what a second may bring, and counts it down here: the limit
    holds for all processes together, and few requests wait for the row. A token that is unknown costs no query, but
    one a second for all of them.
    """

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool
        self._known: dict[str, Known] = {}
        self._shares: dict[str, Share] = {}
        self._read_at = -KEPT
        self._reading = asyncio.Lock()
        self._fault: tuple[PgpipeError, float] | None = None

    async def admit(self, presented: str) -> Known:
        """Whose request this is; it is counted.

        Raises:
            Unauthorized: the token is unknown, revoked or expired.
            TooMany: it has no request left.
            Unreachable: the database does not answer.
        """
        token_id = id_of(presented)
        if token_id is None:
            raise Unauthorized
        await self._refresh(KEPT if token_id in self._known else SOONEST)
        known = self._known.get(token_id)
        right = hmac.compare_digest(hash_of(presented), known.hash if known else NOBODY)
        if known is None or not right:
            raise Unauthorized
        await self._count(known)
        return known

    async def look(self) -> None:
        """Read the list, if it was not read in the last second: whether the database answers.

        Raises:
            Unreachable: it does not.
        """
        await self._refresh(SOONEST)

    async def _read(self) -> None:
        found = await self._fetch(LIVE, {}, Known)
        self._known = {token.token_id: token for token in found}
        self._shares = {name: share for name, share in self._shares.items() if name in self._known}
        self._read_at = time.monotonic()

    async def _read_once(self) -> None:
        """Read, unless that failed a moment ago: who waited for it hears of that failure, and tries no other time."""
        if self._fault and time.monotonic() < self._fault[1]:
            raise self._fault[0].with_traceback(None)
        try:
            await self._read()
        except PgpipeError as exc:
            self._fault = exc, time.monotonic() + SOONEST
            raise

    async def _refresh(self, most: float) -> None:
        if time.monotonic() - self._read_at >= most:
            async with self._reading:  # who comes meanwhile has that answer too
                if time.monotonic() - self._read_at >= most:
                    await self._read_once()

    async def _count(self, known: Known) -> None:
        share = self._shares.setdefault(known.token_id, Share())
        if not _spend(share):
            async with share.turn:
                if not _spend(share):
                    await self._take(known, share)

    async def _take(self, known: Known, share: Share) -> None:
        asked = {"token": known.token_id, "wanted": known.wanted, "unspent": share.left}
        found = await self._fetch(TAKE, asked, Granted)
        share.left = 0
        if not found:  # it was revoked, or expired
            self._known.pop(known.token_id, None)
            raise Unauthorized
        now = time.monotonic()
        if not found[0].granted:
            share.refused_until = now + found[0].wait
            raise TooMany(found[0].wait)
        share.left, share.until = found[0].granted - 1, now + SHARE

    async def _fetch(self, sql: str, values: dict[str, Any], row: type[Any]) -> list[Any]:
        with translated():
            async with self._pool.connection(PATIENCE) as conn:
                return await fetch(conn, sql, values, row)


def _spend(share: Share) -> bool:
    """Whether a request passes without asking the database.

    Raises:
        TooMany: the database said a moment ago that there is none left.
    """
    now = time.monotonic()
    if share.left and now < share.until:
        share.left -= 1
        return True
    if now < share.refused_until:
        raise TooMany(share.refused_until - now)
    return False
