"""The queue as the worker sees it: each call is one SQL function and one short transaction."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from pgvector import Vector
from psycopg.rows import class_row

from pgpipe.db import Connection, translated
from pgpipe.embed.model import Vectors
from pgpipe.schema import require_version

EMBEDDINGS = """
    select e.embedding_id, c.relname as entity, e.name, e.model, e.dims from pgpipe.embedding e
      join pg_catalog.pg_class c on c.oid = e.target order by e.embedding_id
"""
CLAIM = "select key::text, gen, attempts, content, content_hash, fresh from pgpipe.claim_jobs(%s, %s, %s, %s)"
FINISH = """
    select finished, stale from pgpipe.finish_jobs(%s, %s, %s::jsonb[], %s::bigint[], %s::bytea[], %s::boolean[],
        %s::int[], %s::int[], %s::int[], %s::int[], %b)
"""
FAIL = "select pgpipe.fail_jobs(%s, %s, %s::jsonb[], %s::bigint[], %s, %s)"
EXTEND = "select pgpipe.extend_lease(%s)"
RELEASE = "select pgpipe.release_jobs(%s)"
WAITING = "select count(*) from pgpipe.job where embedding_id = %s and visible_at <= now()"


@dataclass(frozen=True)
class Embedding:
    """A declared embedding."""

    embedding_id: int
    entity: str
    name: str
    model: str
    dims: int


@dataclass(frozen=True)
class Job:
    """A leased job and what to embed for it."""

    key: str  # JSON, as text: a float would lose digits of a numeric key
    gen: int
    attempts: int
    content: str | None  # None: the row is gone, or has no text
    content_hash: bytes | None
    fresh: bool  # the store holds the vectors of this text already


@dataclass(frozen=True)
class Chunk:
    """A piece of a job's text: the job's number in its batch, the piece's number, its range in characters."""

    job: int
    number: int
    start: int
    end: int


def embeddings(conn: Connection) -> list[Embedding]:
    """All declared embeddings; asked before every round, so here this code's version is compared with the database's.

    Raises:
        SchemaMissing: the schema is older, or newer and serves this code no longer.
    """
    require_version(conn)
    with translated(), conn.cursor(row_factory=class_row(Embedding)) as cursor:
        return cursor.execute(EMBEDDINGS).fetchall()


def claim(conn: Connection, embedding: Embedding, limit: int, worker: str, token: uuid.UUID) -> list[Job]:
    """Lease up to `limit` jobs to the token; empty when nothing is ready."""
    with translated(), conn.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(CLAIM, (embedding.embedding_id, limit, worker, token)).fetchall()


def finish(
    conn: Connection,
    embedding: Embedding,
    token: uuid.UUID,
    jobs: Sequence[Job],
    chunks: Sequence[Chunk],
    vectors: Vectors,
) -> tuple[int, int]:
    """Write the vectors and acknowledge the jobs, in one statement.

    Args:
        conn: on which pgvector's types are registered.
        embedding: whose jobs these are.
        token: that they were claimed with.
        jobs: as claimed.
        chunks: the pieces that were encoded, in the order of the vectors.
        vectors: shape (len(chunks), dims).

    Returns:
        How many jobs are done or given back, and how many had passed to another worker.
    """
    values = (
        embedding.embedding_id,
        token,
        [j.key for j in jobs],
        [j.gen for j in jobs],
        [j.content_hash for j in jobs],
        [j.fresh for j in jobs],
        [c.job + 1 for c in chunks],
        [c.number for c in chunks],
        [c.start for c in chunks],
        [c.end for c in chunks],
        [Vector(v) for v in vectors],
    )
    with translated():
        row = conn.execute(FINISH, values).fetchone()
    assert row is not None
    return row[0], row[1]


def fail(
    conn: Connection, embedding: Embedding, token: uuid.UUID, jobs: Sequence[Job], error: str, *, charge: bool
) -> None:
    """Give jobs back with an error; `charge` counts an attempt against them."""
    with translated():
        keys, gens = [j.key for j in jobs], [j.gen for j in jobs]
        conn.execute(FAIL, (embedding.embedding_id, token, keys, gens, error, charge))


def extend(conn: Connection, token: uuid.UUID) -> None:
    """Hold on to the token's jobs for another lease from now."""
    with translated():
        conn.execute(EXTEND, (token,))


def release(conn: Connection, token: uuid.UUID) -> None:
    """Give back at once whatever the token still holds."""
    with translated():
        conn.execute(RELEASE, (token,))


def waiting(conn: Connection, embedding: Embedding) -> int:
    """Jobs that could be claimed now."""
    with translated():
        row = conn.execute(WAITING, (embedding.embedding_id,)).fetchone()
    return row[0] if row else 0
