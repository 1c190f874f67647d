"""Asking: keyword, vector and hybrid search of one entity."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pgvector import Vector
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from pgpipe import errors
from pgpipe.db import Connection, translated

SearchMode = Literal["text", "vector", "hybrid"]
Filter = dict[str, Any]

TARGETS = """
    select c.relname as entity, n.nspname as schema,
           exists (select from pgpipe.search s where s.target = c.oid) as searched,
           (select e.model from pgpipe.embedding e where e.target = c.oid and e.active) as model
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.oid in (select target from pgpipe.search union select target from pgpipe.embedding)
       and n.nspname <> 'pgpipe_staging'
     order by c.relname
"""
TEXT = """
    select key, score, row_number() over (order by score desc, key)::int as text_rank, null::int as vector_rank,
           passage, "row"
      from pgpipe.text_search(format('%%I.%%I', %s::text, %s::text)::regclass, %s, %s, %s)
"""
VECTOR = """
    select key, score, null::int as text_rank, row_number() over (order by score desc, key)::int as vector_rank,
           passage, "row"
      from pgpipe.vector_search(format('%%I.%%I', %s::text, %s::text)::regclass, %s, %s, %s)
"""
HYBRID = """
    select key, score, text_rank, vector_rank, passage, "row"
      from pgpipe.hybrid_search(format('%%I.%%I', %s::text, %s::text)::regclass, %s, %s, %s, %s)
"""


@dataclass(frozen=True)
class Hit:
    """A row that answers the question."""

    key: dict[str, Any]
    score: float  # text: BM25F; vector: cosine similarity; hybrid: reciprocal rank fusion
    text_rank: int | None  # its place among the keyword answers, from 1; None: not among them
    vector_rank: int | None
    passage: str | None  # words of the question between <b> and </b>
    row: dict[str, Any]


@dataclass(frozen=True)
class Target:
    """A table that can be searched."""

    entity: str
    schema: str
    searched: bool  # has a search column
    model: str | None  # of its active embedding


def find_target(conn: Connection, entity: str | None) -> Target:
    """The table of that name, or the only one there is.

    Raises:
        UsageError: there is no such entity, or the choice is open; the message names those that exist.
    """
    with translated(), conn.cursor(row_factory=class_row(Target)) as cursor:
        targets = {t.entity: t for t in cursor.execute(TARGETS).fetchall()}
    if not targets:
        raise errors.UsageError("nothing is searchable yet; load something first: `pgpipe load --source …`")
    if entity is None and len(targets) == 1:
        return next(iter(targets.values()))
    names = ", ".join(targets)
    if entity is None:
        raise errors.UsageError(f"which entity? give --entity; there are {names}")
    if entity not in targets:
        raise errors.UsageError(f"there is no entity {entity!r} to search; there are {names}")
    return targets[entity]


def text(conn: Connection, target: Target, query: str, k: int, where: Filter | None) -> list[Hit]:
    """The k best rows by words. Raises DatabaseError without a search column, or for a filter that does not fit."""
    return _hits(conn, TEXT, (target.schema, target.entity, query, k, _jsonb(where)))


def vector(conn: Connection, target: Target, query: Sequence[float], k: int, where: Filter | None) -> list[Hit]:
    """The k best rows by meaning. Raises VectorsMissing without pgvector."""
    return _hits(conn, VECTOR, (target.schema, target.entity, Vector(query).to_text(), k, _jsonb(where)))


def hybrid(
    conn: Connection, target: Target, query: str, query_vector: Sequence[float], k: int, where: Filter | None
) -> list[Hit]:
    """The k best rows by words and meaning together. Raises VectorsMissing without pgvector."""
    return _hits(conn, HYBRID, (target.schema, target.entity, query, Vector(query_vector).to_text(), k, _jsonb(where)))


def _jsonb(where: Filter | None) -> Jsonb | None:
    return None if where is None else Jsonb(where)


def _hits(conn: Connection, statement: str, values: tuple[Any, ...]) -> list[Hit]:
    with translated(), conn.cursor(row_factory=class_row(Hit)) as cursor:
        return cursor.execute(statement.encode(), values).fetchall()
