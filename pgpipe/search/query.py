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
           e.name as embedding, e.model, e.dims, e.fingerprint
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      left join pgpipe.embedding e on e.target = c.oid and e.active
     where c.oid in (select target from pgpipe.search union select target from pgpipe.embedding)
       and n.nspname <> 'pgpipe_staging'
     order by c.relname
"""
TEXT = """
    select key, score, text_rank, null::int as vector_rank, passage, "row"
      from pgpipe.text_search(format('%%I.%%I', %(schema)s::text, %(entity)s::text)::regclass,
                              %(query)s, %(k)s, %(where)s,
                              skip => %(skip)s, prefix => %(prefix)s)
"""
VECTOR = """
    select key, score, null::int as text_rank, vector_rank, passage, "row"
      from pgpipe.vector_search(format('%%I.%%I', %(schema)s::text, %(entity)s::text)::regclass,
                              %(vector)s, %(k)s, %(where)s,
                                skip => %(skip)s, embedding => %(embedding)s)
"""
HYBRID = """
    select key, score, text_rank, vector_rank, passage, "row"
      from pgpipe.hybrid_search(format('%%I.%%I', %(schema)s::text, %(entity)s::text)::regclass,
                              %(query)s, %(vector)s, %(k)s,
                                %(where)s, skip => %(skip)s, prefix => %(prefix)s, embedding => %(embedding)s)
"""
STATEMENTS: dict[SearchMode, str] = {"text": TEXT, "vector": VECTOR, "hybrid": HYBRID}


@dataclass(frozen=True)
class Hit:
    """A row that answers the question."""

    key: dict[str, Any]
    score: float  # text: BM25F; vector: cosine similarity; hybrid: 0 to 1 of each, added
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
    embedding: str | None  # the active one
    model: str | None  # of that embedding
    dims: int | None
    fingerprint: bytes | None = None  # of the model that made its vectors; None where it made none yet

    @property
    def best_mode(self) -> SearchMode:
        """Hybrid where there are vectors, else text."""
        return ("hybrid" if self.searched else "vector") if self.model else "text"


@dataclass(frozen=True)
class Question:
    """What is asked for."""

    query: str
    k: int = 10
    filter: Filter | None = None
    skip: int = 0  # hits of earlier pages
    prefix: bool = False  # the last word is the beginning of one


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


def answer(
    conn: Connection, target: Target, mode: SearchMode, question: Question, vector: Sequence[float] | None = None
) -> list[Hit]:
    """The best rows; `vector` is the question's, of the target's embedding, for the modes vector and hybrid.

    Raises:
        VectorsMissing: the database has no pgvector.
        DatabaseError: there is no search column or embedding, or a filter that does not fit.
    """
    values = {
        "schema": target.schema,
        "entity": target.entity,
        "embedding": target.embedding,
        "query": question.query.replace("\0", " "),  # which no text of PostgreSQL holds, so no row has it
        "vector": None if vector is None else Vector(vector).to_text(),
        "k": question.k,
        "where": None if question.filter is None else Jsonb(question.filter),
        "skip": question.skip,
        "prefix": question.prefix,
    }
    with translated(), conn.cursor(row_factory=class_row(Hit)) as cursor:
        return cursor.execute(STATEMENTS[mode].encode(), values).fetchall()
