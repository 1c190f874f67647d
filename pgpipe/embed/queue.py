"""The queue as the worker sees it: each call is one SQL function and one short transaction."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import Cursor, sql
from psycopg.rows import class_row, scalar_row

from pgpipe.db import Connection, translated
from pgpipe.db.encoding import storable
from pgpipe.schema import require_version
from pgpipe.target import Target

if TYPE_CHECKING:  # who only asks what is declared does without
    from pgpipe.embed.model.base import Vectors

EMBEDDINGS = """
    select c.oid::bigint, n.nspname, c.relname, e.embedding_id, e.name, e.model, e.dims, e.chunk_size, e.chunk_overlap,
           e.store_precision = 'half'
      from pgpipe.embedding e
      join pg_catalog.pg_class c on c.oid = e.target
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where e.paused_at is null or %s order by e.embedding_id
"""
READY = """
    select embedding_id from pgpipe.embedding e
     where (select true from pgpipe.job job  -- with a limit it stays one look at the index for each embedding
             where job.embedding_id = e.embedding_id and job.visible_at <= now() order by job.visible_at limit 1)
"""
CLAIM = "select key::text, gen, attempts, content, content_hash, fresh, twin from {}(%s, %s, %s, %s)"
FINISH = """
    select outcome from {}(%s, %s, %s::pgpipe_internal.batch_row[], %s::pgpipe_internal.passage[], %b)
"""
NOTE = "select pgpipe_internal.note_trouble(%s, %s, %s, %s)"
FINISH_NONE = """
    select outcome from {}(%s, %s, %s::pgpipe_internal.batch_row[], '{{}}', '{{}}'::text[])
"""
RENDER = "select pgpipe_internal.render_queue(%s)"
STALE = {"PP021", "42883", "42P01", "3F000"}  # the function is of an earlier name of its table, or is not there
FAIL = "select pgpipe_internal.fail_jobs(%s, %s, %s::jsonb[], %s::bigint[], %s, %s, %s)"
EXTEND = "select pgpipe_internal.extend_lease(%s, %s, %s::jsonb[], %s)"
RELEASE = "select locked from pgpipe_internal.release_jobs(%s, %s, %s::jsonb[])"
FINGERPRINT = "select pgpipe_internal.note_fingerprint(%s, %s)"


@dataclass(frozen=True)
class Embedding:
    """A declared embedding."""

    target: Target
    embedding_id: int
    name: str
    model: str
    dims: int
    chunk_size: int | None = None  # tokens; None: as many as the model reads
    chunk_overlap: int = 0
    half: bool = False  # the store keeps half the precision

    @property
    def entity(self) -> str:
        """Its table, as logs name it."""
        return self.target.qualified


@dataclass(frozen=True)
class Job:
    """A leased job and what to embed for it."""

    key: str  # JSON, as text: a float would lose digits of a numeric key
    gen: int
    attempts: int
    content: str | None  # None: the row is gone, has no text, or is outside the embedding's condition
    content_hash: bytes | None
    fresh: bool  # the store holds the vectors of this text for this row already
    twin: bool  # the store holds the vectors of this text for another row


@dataclass(frozen=True)
class Lease:
    """Jobs of one embedding that a token holds."""

    embedding: Embedding
    token: uuid.UUID
    jobs: list[Job]
    claimed: float = field(default_factory=time.monotonic, compare=False)  # on the clock of this process

    @property
    def keys(self) -> list[str]:
        """Their keys."""
        return [job.key for job in self.jobs]


@dataclass(frozen=True)
class Chunk:
    """A piece of a job's text: the job's number in its batch, the piece's number, its range in characters."""

    job: int
    number: int
    start: int
    end: int


@dataclass(frozen=True)
class Finished:
    """What became of the jobs of a batch."""

    jobs: int  # done or, where the row changed meanwhile, given back
    stale: int  # had passed to another worker: nothing was written for them
    locked: list[Job]  # a writer holds them at the moment: to be released a little later


def embeddings(conn: Connection, *, paused: bool = False) -> list[Embedding]:
    """The declared embeddings; those that are paused only where asked for.

    Asked before every round: here this code's version is compared with the database's.

    Raises:
        SchemaMissing: the schema is older, or newer and serves this code no longer.
    """
    require_version(conn)
    with translated():
        rows = conn.execute(EMBEDDINGS, (paused,)).fetchall()
    return [Embedding(Target(oid, schema, name), *rest) for oid, schema, name, *rest in rows]


def ready(conn: Connection) -> set[int]:
    """The numbers of the embeddings that have jobs to claim: one statement, however many are declared."""
    with translated():
        return {number for (number,) in conn.execute(READY)}


def claim(conn: Connection, embedding: Embedding, limit: int, worker: str, lease: timedelta) -> Lease:
    """Lease up to `limit` jobs to a new token; without jobs when nothing is ready."""
    token = uuid.uuid4()
    with translated(), conn.cursor(row_factory=class_row(Job)) as cursor:
        _call(cursor, CLAIM, "claim", embedding, (limit, worker, token, lease))
        return Lease(embedding, token, cursor.fetchall())


def finish(conn: Connection, lease: Lease, worker: str, chunks: Sequence[Chunk], vectors: "Vectors") -> Finished:
    """Write the vectors and acknowledge the jobs, in one statement.

    Args:
        conn: on which pgvector's types are registered.
        lease: the jobs as claimed, without those that failed.
        worker: its name.
        chunks: the pieces that were encoded, in the order of the vectors.
        vectors: shape (len(chunks), dims).
    """
    from pgvector import Vector

    jobs = [_batch_row(job) for job in lease.jobs]
    passages = [f"({c.job + 1},{c.number},{c.start},{c.end})" for c in chunks]
    with translated(), conn.cursor(row_factory=scalar_row) as cursor:
        if chunks:
            values = (lease.token, worker, jobs, passages, [Vector(v) for v in vectors])
            _call(cursor, FINISH, "finish", lease.embedding, values)
        else:  # an empty list has no type
            _call(cursor, FINISH_NONE, "finish", lease.embedding, (lease.token, worker, jobs))
        outcomes = cursor.fetchall()
    stale = outcomes.count("stale")
    locked = [job for job, outcome in zip(lease.jobs, outcomes, strict=True) if outcome == "locked"]
    return Finished(len(outcomes) - stale - len(locked), stale, locked)


def finish_nothing(conn: Connection, lease: Lease, worker: str) -> None:
    """All statements of a finish, for no row.

    Raises:
        PgpipeError: a finish of this embedding fails whatever the rows are.
    """
    from pgvector import Vector

    nothing = [Vector([0] * lease.embedding.dims)]  # of no job: it is not stored
    with translated(), conn.cursor() as cursor:
        _call(cursor, FINISH, "finish", lease.embedding, (lease.token, worker, [], [], nothing))


def note_trouble(conn: Connection, embedding: Embedding, step: str, worker: str, error: str | None) -> None:
    """Keep, for its status, why an embedding could not be served (`serve`), swept (`sweep`) or indexed (`index`)."""
    with translated():
        conn.execute(NOTE, (embedding.embedding_id, step, worker, error and storable(conn, error)))


def _batch_row(job: Job) -> str:
    """A job as the text of the composite type; psycopg takes several times as long for a tuple."""
    key = job.key.replace("\\", "\\\\").replace('"', '""')
    digest = f'"\\\\x{job.content_hash.hex()}"' if job.content_hash is not None else ""  # nothing is NULL
    return f'("{key}",{job.gen},{job.attempts},{digest},{job.fresh:d},{job.twin:d},,)'


def _call(
    cursor: Cursor[Any], statement: LiteralString, name: str, embedding: Embedding, values: Sequence[Any]
) -> None:
    """Call a function that is rendered for an embedding; it is rendered again if its table was changed meanwhile."""
    function = sql.Identifier("pgpipe_target", f"{name}_{embedding.embedding_id}")
    composed = sql.SQL(statement).format(function)
    try:
        cursor.execute(composed, values)
    except psycopg.Error as exc:
        if exc.sqlstate not in STALE or not cursor.connection.autocommit:
            raise
        cursor.connection.execute(RENDER, (embedding.embedding_id,))
        cursor.execute(composed, values)


def fail(
    conn: Connection, lease: Lease, jobs: Sequence[Job], error: str, *, charge: bool, retry_after: float | None = None
) -> None:
    """Give jobs back with an error.

    Args:
        conn: any.
        lease: that holds them.
        jobs: some of its jobs.
        error: what is kept with them.
        charge: counts an attempt against them; after max_attempts they are dead.
        retry_after: seconds until they may be claimed again; by default five, doubled with each attempt.
    """
    wait = None if retry_after is None else timedelta(seconds=retry_after)
    keys, gens = [j.key for j in jobs], [j.gen for j in jobs]
    with translated():
        conn.execute(FAIL, (lease.embedding.embedding_id, lease.token, keys, gens, storable(conn, error), charge, wait))


def extend(conn: Connection, lease: Lease, time: timedelta) -> None:
    """Hold on to the jobs for another `time` from now."""
    with translated():
        conn.execute(EXTEND, (lease.embedding.embedding_id, lease.token, lease.keys, time))


def release(conn: Connection, lease: Lease) -> int:
    """Give back at once what the token still holds; returns how many a writer has locked, to be released later."""
    with translated():
        row = conn.execute(RELEASE, (lease.embedding.embedding_id, lease.token, lease.keys)).fetchone()
    return row[0] if row else 0


def fingerprint(conn: Connection, embedding: Embedding, taken: bytes) -> bytes | None:
    """The fingerprint of the model that made the embedding's vectors, which is `taken` where there was none yet."""
    with translated():
        row = conn.execute(FINGERPRINT, (embedding.embedding_id, taken)).fetchone()
    return row[0] if row else None
