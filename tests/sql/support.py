"""What the tests of the SQL functions share: small targets, a fake vector store, and the calls of a worker."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import sql

from pgpipe.db import Connection

T = TypeVar("T")
VECTOR = "[1,0,0]"
INSERT_DOCS = """
    insert into doc select n, 'title ' || n, 'body ' || n, n from generate_series(1, %s) n
"""
CLAIM = "select key::text, gen, attempts, content, content_hash, fresh, twin from {}(%s, 'test', %s, %s)"
FINISH = """
    select outcome from {}(%s, 'test', %s::pgpipe_internal.batch_row[], %s::pgpipe_internal.passage[], %s::vector[])
"""
FAIL = "select pgpipe_internal.fail_jobs(%s, %s, %s::jsonb[], %s::bigint[], %s, %s)"


def value(conn: Connection, statement: str, *values: Any) -> Any:
    """The one value that a query returns."""
    row = conn.execute(statement, values).fetchone()
    assert row is not None, f"no row: {statement}"
    return row[0]


def column(conn: Connection, statement: str, *values: Any) -> list[Any]:
    """The first column of what a query returns."""
    return [row[0] for row in conn.execute(statement, values).fetchall()]


def sqlstate(conn: Connection, statement: str, *values: Any) -> str:
    """The SQLSTATE that a statement fails with; the empty string where it does not."""
    try:
        conn.execute(statement, values)
    except psycopg.Error as exc:
        return exc.sqlstate or "?"
    return ""


def eventually(holds: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until something holds; fail where it never does."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it never came to hold"
        time.sleep(0.02)


def make_docs(conn: Connection, rows: int = 0) -> None:
    """A plain target: doc(id, title, body, size)."""
    conn.execute("create table doc (id int primary key, title text, body text, size int)")
    conn.execute(INSERT_DOCS, (rows,))


def embed(conn: Connection, target: str = "doc", columns: Sequence[str] = ("title", "body"), **options: Any) -> int:
    """Declare a fake embedding of three dimensions; its queue holds every row."""
    named = {"model": "fake", "dims": 3} | options
    arguments = sql.SQL("").join(sql.SQL(", {} => {}").format(sql.Identifier(n), v) for n, v in named.items())
    statement = sql.SQL("select pgpipe.enable_embedding({}::regclass, {}{})").format(target, list(columns), arguments)
    row = conn.execute(statement).fetchone()
    assert row is not None
    return row[0]


def embed_quietly(
    conn: Connection, target: str = "doc", columns: Sequence[str] = ("title", "body"), **opts: Any
) -> int:
    """The same with an empty queue, so that a test sees only what it causes."""
    embedding = embed(conn, target, columns, **opts)
    conn.execute("delete from pgpipe.job where embedding_id = %s", (embedding,))
    return embedding


def embedded_docs(conn: Connection, rows: int = 3) -> int:
    """Docs that all have their vector, and nothing in the queue."""
    make_docs(conn, rows)
    embedding = embed(conn)
    drain(conn, embedding)
    return embedding


def waiting_docs(conn: Connection, rows: int) -> int:
    """Docs that nobody has embedded yet."""
    make_docs(conn, rows)
    return embed(conn)


def expire(conn: Connection) -> None:
    """Let every lease run out."""
    conn.execute("update pgpipe.job set visible_at = now() - interval '1 second' where lease_token is not null")


@dataclass
class Claim:
    """Jobs that a worker holds."""

    embedding: int
    token: uuid.UUID
    jobs: list[tuple[Any, ...]]  # key as JSON text, gen, attempts, content, content_hash, fresh, twin

    @property
    def keys(self) -> list[str]:
        """Their keys as JSON text."""
        return [j[0] for j in self.jobs]

    @property
    def ids(self) -> set[Any]:
        """Their first key column."""
        return {next(iter(json.loads(j[0]).values())) for j in self.jobs}

    @property
    def gens(self) -> list[int]:
        """What they had seen."""
        return [j[1] for j in self.jobs]


def rendered(statement: LiteralString, name: str, embedding: int) -> sql.Composed:
    """A call of a function of an embedding."""
    return sql.SQL(statement).format(sql.Identifier("pgpipe_target", f"{name}_{embedding}"))


def claim(conn: Connection, embedding: int, limit: int = 1000, lease: str = "5 minutes") -> Claim:
    """Lease jobs as a worker does, under a token of its own."""
    token = uuid.uuid4()
    return Claim(embedding, token, conn.execute(rendered(CLAIM, "claim", embedding), (limit, token, lease)).fetchall())


def finish(conn: Connection, held: Claim, vector: str = VECTOR) -> tuple[int, int]:
    """Write one vector for each claimed text and acknowledge; returns finished and stale."""
    outcomes = outcomes_of(conn, held, vector)
    stale = outcomes.count("stale")
    return len(outcomes) - stale - outcomes.count("locked"), stale


def outcomes_of(conn: Connection, held: Claim, vector: str = VECTOR) -> list[str]:
    """The same; returns what became of each job."""
    todo = [n for n, job in enumerate(held.jobs) if job[3] is not None and not job[5] and not job[6]]
    batch = [
        (key, gen, attempts, hash_, fresh, twin, None, None) for key, gen, attempts, _, hash_, fresh, twin in held.jobs
    ]
    passages = [(n + 1, 0, 0, len(held.jobs[n][3])) for n in todo]
    finish = rendered(FINISH, "finish", held.embedding)
    return [row[0] for row in conn.execute(finish, (held.token, batch, passages, [vector] * len(todo))).fetchall()]


RELEASE = "select released from pgpipe_internal.release_jobs(%s, %s, %s::jsonb[])"
EXTEND = "select pgpipe_internal.extend_lease(%s, %s, %s::jsonb[])"


def release(conn: Connection, held: Claim) -> int:
    """Give the claimed jobs back; returns how many were still held."""
    return value(conn, RELEASE, held.embedding, held.token, held.keys)


def extend(conn: Connection, held: Claim) -> int:
    """Hold on to the claimed jobs; returns how many are still held."""
    return value(conn, EXTEND, held.embedding, held.token, held.keys)


def fail(conn: Connection, held: Claim, *, charge: bool, error: str = "no") -> int:
    """Give the claimed jobs back with an error; returns how many were still held."""
    return value(conn, FAIL, held.embedding, held.token, held.keys, held.gens, error, charge)


def drain(conn: Connection, embedding: int, vector: str = VECTOR) -> int:
    """Claim and finish until nothing is ready; returns how many jobs there were."""
    total = 0
    for _ in range(20):
        held = claim(conn, embedding)
        if not held.jobs:
            return total
        finish(conn, held, vector)
        total += len(held.jobs)
    raise AssertionError(f"the queue does not empty: {jobs(conn, embedding)}")


def jobs(conn: Connection, embedding: int) -> dict[str, int]:
    """The queue: gen by key, as JSON text."""
    rows = conn.execute("select key::text, gen from pgpipe.job where embedding_id = %s", (embedding,)).fetchall()
    return dict(rows)


def job(conn: Connection, embedding: int, key: str) -> dict[str, Any]:
    """One job, with whether it may be claimed now."""
    query = """
        select to_jsonb(j) || jsonb_build_object('ready', visible_at <= now(), 'wait', case when visible_at < 'infinity'
               then extract(epoch from visible_at - clock_timestamp()) end)
          from pgpipe.job j where embedding_id = %s and key = %s::jsonb
    """
    return value(conn, query, embedding, key)


def stored(conn: Connection, store: str = "doc_embedding", key: str = "id") -> list[Any]:
    """The keys of the rows that have vectors, one for each chunk."""
    statement = sql.SQL("select {} from {} order by 1").format(sql.Identifier(key), sql.Identifier(store))
    return [row[0] for row in conn.execute(statement).fetchall()]


def in_a_loop(work: Coroutine[Any, Any, T]) -> T:
    """What it returns, in a loop of its own: this thread may have one, as Playwright's tests leave theirs."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
