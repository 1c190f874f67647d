"""Tokens of the search API: made, listed and revoked. The database gets a hash of each, and never the token."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from psycopg.rows import class_row

from pgpipe.db import Connection, one, translated
from pgpipe.errors import UsageError
from pgpipe.target import Target

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
ID_LENGTH, BYTES = 8, 32
FORM = re.compile(r"pgpipe_([a-z0-9]{8})_[A-Za-z0-9_-]{43}", re.ASCII)
ADD = "select pgpipe_internal.add_token(%s, %s, %s, %s, %s::oid[], %s, %s, %s)"
REVOKE = """
    update pgpipe.token set revoked_at = now()
     where (token_id = %(which)s or name = %(which)s) and revoked_at is null returning token_id
"""
LIST = """
    select token_id, name, role::text as role, state, per_minute, burst, created_at, expires_at, revoked_at, used_on,
           (select array_agg(coalesce(home.nspname || '.' || class.relname, '(dropped)') order by 1)
              from unnest(entities) entity (oid)
              left join pg_catalog.pg_class class on class.oid = entity.oid
              left join pg_catalog.pg_namespace home on home.oid = class.relnamespace) as entities
      from pgpipe.token_status order by created_at, token_id
"""


@dataclass(frozen=True)
class Token:
    """A token as it is listed."""

    token_id: str
    name: str
    role: str
    state: str
    entities: list[str] | None  # None: all that the role may read
    per_minute: int
    burst: int
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    used_on: date | None


def make() -> str:
    """A new token: the prefix that a scanner of sources knows, an id that may be shown, and 32 random bytes."""
    token_id = "".join(secrets.choice(LETTERS) for _ in range(ID_LENGTH))
    return f"pgpipe_{token_id}_{secrets.token_urlsafe(BYTES)}"


def id_of(token: str) -> str | None:
    """The part that may be shown; None if it does not have the form of one."""
    found = FORM.fullmatch(token)
    return found[1] if found else None


def hash_of(token: str) -> bytes:
    """What the database keeps.

    A fast hash is enough: it stands for 256 random bits, which nobody guesses at any speed. Slow hashes are for
    passwords, which people choose.
    """
    return hashlib.sha256(token.encode()).digest()


def create(
    conn: Connection,
    name: str,
    role: str,
    targets: Sequence[Target],
    *,
    per_minute: int,
    burst: int | None = None,
    expires_at: datetime | None = None,
) -> str:
    """Make a token, and note its hash.

    Args:
        conn: of the owner of pgpipe's tables.
        name: what it is for.
        role: that its requests act as.
        targets: what it may search; all that the role may read if there are none.
        per_minute: requests, on average.
        burst: requests at once; by default those of ten seconds.
        expires_at: when it stops to hold.

    Raises:
        UsageError: the role does not exist, or a token may not act as it.
    """
    token = make()
    oids = [target.oid for target in targets] or None
    at_once = burst or max(per_minute // 6, min(per_minute, 10))
    with translated():
        conn.execute(ADD, (id_of(token), hash_of(token), name, role, oids, per_minute, at_once, expires_at))
    return token


def revoke(conn: Connection, which: str) -> int:
    """Revoke the token with this id, or all with this name; returns how many."""
    with translated():
        count = conn.execute(REVOKE, {"which": id_of(which) or which}).rowcount
    if not count:
        raise UsageError(f"no active token has the id or the name {which[:100]!r}; `pgpipe tokens list` shows them")
    return count


def listed(conn: Connection) -> list[Token]:
    """All tokens, the oldest first."""
    with translated(), conn.cursor(row_factory=class_row(Token)) as cursor:
        return cursor.execute(LIST).fetchall()


def now(conn: Connection) -> datetime:
    """The database's clock, which judges expiry."""
    with translated():
        found: datetime = one(conn, "select now()")
    return found
