"""Asking: keyword, vector and hybrid search of one entity."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from typing import Any, Generic, Literal, TypedDict, TypeVar, get_args
from uuid import UUID

from psycopg import BaseConnection
from psycopg.rows import class_row

from pgpipe import errors
from pgpipe.db import Connection, translated
from pgpipe.db.encoding import LEFT_OUT, storable
from pgpipe.searching.passage import as_html, without_marks
from pgpipe.target import Target, UnknownName, only

SearchMode = Literal["text", "vector", "hybrid"]
Filter = dict[str, Any]
OrderBy = str | dict[str, str] | list[str | dict[str, str]]
Wanted = bool | dict[str, Any] | None  # of a reranker: whether or how it is asked; None: as the entity says
T = TypeVar("T")

TARGETS = """
    select c.oid::bigint as oid, n.nspname as schema, c.relname as name,
           exists (select from pgpipe.search s where s.target = c.oid) as searched,
           e.name as embedding, e.model, e.dims, e.fingerprint,
           exists (select from pg_catalog.pg_extension x where x.extname = 'vector') as vectors
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      left join pgpipe.embedding e on e.target = c.oid and e.active
     where c.oid in (select target from pgpipe.search union select target from pgpipe.embedding)
       and n.nspname <> 'pgpipe_staging'
     order by c.relname, n.nspname
"""
TEXT = """
    select key, score, text_rank, null::int as vector_rank, title, passage, "row", corrected, details
      from pgpipe.text_search(%(oid)s::oid::regclass, %(query)s, %(k)s, %(where)s::jsonb, skip => %(skip)s,
                              prefix => %(prefix)s, fuzzy => %(fuzzy)s, options => %(options)s::jsonb)
"""
VECTOR = """
    select key, score, null::int as text_rank, vector_rank, title, passage, "row", null as corrected, details
      from pgpipe.vector_search(%(oid)s::oid::regclass, %(vector)s, %(k)s, %(where)s::jsonb,
                                skip => %(skip)s, embedding => %(embedding)s, options => %(options)s::jsonb)
"""
HYBRID = """
    select key, score, text_rank, vector_rank, title, passage, "row", corrected, details
      from pgpipe.hybrid_search(%(oid)s::oid::regclass, %(query)s, %(vector)s, %(k)s,
                                %(where)s::jsonb, skip => %(skip)s, prefix => %(prefix)s, embedding => %(embedding)s,
                                fuzzy => %(fuzzy)s, options => %(options)s::jsonb)
"""
CHECK = "select pgpipe_internal.check_filter(%(oid)s::oid::regclass, %(where)s::jsonb)"
# Fields of Question that are options of the SQL functions.
OPTIONS = ("row", "boost", "order_by", "candidates", "explain")
STATEMENTS: dict[SearchMode, str] = {"text": TEXT, "vector": VECTOR, "hybrid": HYBRID}


@dataclass(frozen=True)
class Reranked:
    """How far a reranker came."""

    rows: int  # that it read within its budget: they come first, by its scores
    of: int  # candidates
    fault: str | None  # why it read none, as one line


@dataclass(frozen=True)
class Hit:
    """A row that answers the question."""

    key: dict[str, Any]
    score: float  # text: BM25F; vector: cosine similarity; hybrid: 0 to 1 of each, added
    text_rank: int | None  # its place among the keyword answers, from 1; None: not among them
    vector_rank: int | None
    title: str | None  # of the column that is declared as such, or the first of weight A
    passage: str | None  # words of the question between <b> and </b>, … at its cut ends; not escaped, see html
    row: dict[str, Any] | None  # only on request
    corrected: str | None = None  # the question that was answered by words, where it was taken for misspelt
    details: dict[str, Any] | None = None  # what further options say of it
    entity: str | None = None  # whose it is, if several were asked
    rerank_score: float | None = None  # of the reranker, if it read the row
    reranked: Reranked | None = None  # if the answers were given to one

    @property
    def html(self) -> str:
        """The passage for a page: escaped, with the marks as the only tags."""
        return as_html(self.passage)

    @property
    def text(self) -> str:
        """The passage without marks, as a model reads it."""
        return without_marks(self.passage)


@dataclass(frozen=True)
class Searchable(Target):
    """A table that can be searched."""

    searched: bool  # has a search column
    embedding: str | None  # the active one
    model: str | None  # of that embedding
    dims: int | None
    fingerprint: bytes | None = None  # of the model that made its vectors; None where it made none yet
    vectors: bool = True  # the database has pgvector

    @property
    def best_mode(self) -> SearchMode:
        """Hybrid where there are vectors, else text."""
        return ("hybrid" if self.searched else "vector") if self.model and self.vectors else "text"


class Options(TypedDict, total=False):
    """What else a question may ask for: the fields of Question beyond query, k and filter, by the same names."""

    skip: int
    prefix: bool
    fuzzy: bool
    row: bool
    boost: dict[str, dict[str, Any]] | None
    order_by: OrderBy | None
    candidates: int | None
    explain: bool
    rerank: Wanted


@dataclass(frozen=True)
class Question:
    """What is asked for."""

    query: str
    k: int = 10
    filter: Filter | None = None
    skip: int = 0  # hits of earlier pages
    prefix: bool = False  # the last word is the beginning of one
    fuzzy: bool = True  # a word that no row holds is taken for the nearest one
    row: bool = False  # each hit has its whole row
    boost: dict[str, dict[str, Any]] | None = None  # what columns add to the score: {"popularity": {"log": 0.3}}
    order_by: OrderBy | None = None  # a column, {column: "desc"}, or a list of these: the order of the candidates
    candidates: int | None = None  # so many of the best are boosted or ordered
    explain: bool = False  # details say why each hit has its place
    rerank: Wanted = None  # a model reads the best answers again: {"model": …, "candidates": 50, "budget": "400ms"}

    def __post_init__(self) -> None:
        """No text of PostgreSQL holds a NUL or half a character, so no row has one, and no question needs one."""
        plain = self.query.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")
        object.__setattr__(self, "query", plain)

    @property
    def options(self) -> str:
        """What the SQL functions call options, as JSON."""
        return json.dumps({name: value for name in OPTIONS if (value := getattr(self, name))})

    @property
    def where(self) -> str | None:
        """The filter as JSON.

        Raises:
            UsageError: it holds what JSON cannot.
        """
        return None if self.filter is None else _filter_json(self.filter)


@dataclass(frozen=True)
class Statement(Generic[T]):
    """What the database is asked, and what a row of its answer becomes."""

    sql: str
    row: type[T]
    values: dict[str, Any] = field(default_factory=dict)

    def parameters(self, conn: BaseConnection[Any]) -> dict[str, Any]:
        """The values as the database can hold them: no row has a character that its encoding lacks."""
        query = self.values.get("query")
        return self.values if query is None else self.values | {"query": storable(conn, query, LEFT_OUT)}


SEARCHABLE = Statement(TARGETS, Searchable)


def require_mode(mode: str | None) -> None:
    """Refuse a mode that is not one.

    Raises:
        UsageError: it is unknown.
    """
    if mode not in {None, *get_args(SearchMode)}:
        raise errors.UsageError(f"unknown mode {mode!r}; the modes are {', '.join(get_args(SearchMode))}")


def pick(tables: list[Searchable], name: str | None, home: str) -> Searchable:
    """The table of that name (`name` in the schema of the settings, `schema.name`), or the only one there is.

    Raises:
        UsageError: none of that name can be searched, or several fit; the message names those that exist.
    """
    if not tables:
        raise UnknownName("nothing is searchable yet; load something first: `pgpipe load --source …`")
    if name is not None:
        return only(name, tables, home, f"unknown entity {name!r}; searchable are {{}}")
    if len(tables) > 1:
        names = ", ".join(table.label(home) for table in tables)
        raise errors.UsageError(f"which entity? give --entity; searchable are {names}")
    return tables[0]


def filter_check(target: Searchable, question: Question) -> Statement[dict[str, Any]]:
    """Refuses a filter that no search would take: to find its fault takes a moment, to load a model takes seconds.

    Raises:
        UsageError: it holds what JSON cannot.
    """
    return Statement(CHECK, dict, {"oid": target.oid, "where": question.where})


def statement(
    target: Searchable, mode: SearchMode, question: Question, vector: Sequence[float] | None = None
) -> Statement[Hit]:
    """The search; `vector` is the question's, of the target's embedding, for the modes vector and hybrid.

    Raises:
        UsageError: the filter holds what JSON cannot.
    """
    values = {
        "oid": target.oid,
        "embedding": target.embedding,
        "query": question.query,
        "vector": None if vector is None else vector_text(vector),
        "k": question.k,
        "where": question.where,
        "skip": question.skip,
        "prefix": question.prefix,
        "fuzzy": question.fuzzy,
        "options": question.options,
    }
    return Statement(STATEMENTS[mode], Hit, values)


def fetch(conn: Connection, asked: Statement[T]) -> list[T]:
    """The rows of the answer.

    Raises:
        VectorsMissing: the database has no pgvector.
        DatabaseError: a search column or embedding is missing, a filter does not fit, or k or skip is below 0.
    """
    with translated(), conn.cursor(row_factory=class_row(asked.row)) as cursor:
        return cursor.execute(asked.sql.encode(), asked.parameters(conn)).fetchall()


def find_searchable(conn: Connection, name: str | None, home: str) -> Searchable:
    """As `pick`, of the tables that there are now."""
    return pick(fetch(conn, SEARCHABLE), name, home)


def answer(
    conn: Connection, target: Searchable, mode: SearchMode, question: Question, vector: Sequence[float] | None = None
) -> list[Hit]:
    """The best rows: as `statement` and `fetch`."""
    return fetch(conn, statement(target, mode, question, vector))


def vector_text(vector: Sequence[float]) -> str:
    """A vector as pgvector reads it."""
    return "[" + ",".join(map(repr, map(float, vector))) + "]"


def _filter_json(where: Filter) -> str:
    """The filter as JSON; values that JSON lacks as PostgreSQL writes them, a set as a list."""

    def plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON lacks
        if isinstance(value, date | time):
            return value.isoformat()
        if isinstance(value, Decimal | UUID):
            return str(value)
        if isinstance(value, set | frozenset):
            return list(value)
        raise TypeError(f"it holds a {type(value).__name__}")

    try:
        return json.dumps(where, default=plain, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise errors.UsageError(f"the filter is not valid JSON: {exc}") from None
