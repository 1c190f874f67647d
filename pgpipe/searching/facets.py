"""Facets and totals: how many rows match a question, and how many of them hold each value of a column."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pgpipe import errors
from pgpipe.searching.ask import (
    SEARCHABLE,
    Filter,
    Question,
    Searchable,
    SearchMode,
    Statement,
    filter_check,
    pick,
    require_mode,
)
from pgpipe.searching.ask import vector_text as as_vector
from pgpipe.searching.asking import Encode, Steps

Ranges = dict[str, Sequence[Any]]  # a column, and the bounds between its ranges
Columns = Sequence[str | Ranges]
CANDIDATES = 100

FACETS = """
    select facet, value, rows, exact, as_filter
      from pgpipe.facets(%(oid)s::oid::regclass, %(query)s, %(columns)s::jsonb, %(where)s::jsonb, %(k)s,
                         prefix => %(prefix)s, fuzzy => %(fuzzy)s)
"""
NEAR = """
    select facet, value, rows, exact, as_filter
      from pgpipe.hybrid_facets(%(oid)s::oid::regclass, %(query)s, %(vector)s, %(columns)s::jsonb, %(where)s::jsonb,
                                %(k)s, candidates => %(candidates)s, prefix => %(prefix)s,
                                embedding => %(embedding)s, fuzzy => %(fuzzy)s)
"""
TOTAL = """
    select rows, exact from pgpipe.total(%(oid)s::oid::regclass, %(query)s, %(where)s::jsonb,
                                         prefix => %(prefix)s, fuzzy => %(fuzzy)s)
"""


@dataclass(frozen=True)
class Facet:
    """A value of a column, or a range of values, and how many of the rows that match hold it."""

    facet: str  # the column
    value: str  # a range as PostgreSQL writes it: [10,50)
    rows: int
    exact: bool  # False: counted in a sample, or there may be more rows than the candidates
    as_filter: Filter  # the filter that chooses it


@dataclass(frozen=True)
class Total:
    """How many rows match."""

    rows: int
    exact: bool  # False: there are more


@dataclass(frozen=True)
class Facets:
    """What a search page shows next to the hits."""

    total: Total | None  # None in the modes vector and hybrid: every row is near to a vector
    values: list[Facet] = field(default_factory=list)


def parse_facet(text: str) -> str | Ranges:
    """A facet as it is typed: `brand`, or `price=10,50` for ranges."""
    name, ranged, bounds = text.partition("=")
    return {name: [_bound(bound) for bound in bounds.split(",")]} if ranged else name


def _bound(text: str) -> Any:  # noqa: ANN401 - a number, or the text of a date
    with suppress(ValueError):
        number = json.loads(text)
        if isinstance(number, int | float):
            return number
    return text.strip()


def facets_of(
    question: Question, columns: Columns, entity: str | None, mode: SearchMode | None, home: str
) -> Steps[Facets]:
    """The steps to the facets of a question, as `asking.hits`; `question.k` values of each.

    Raises:
        UsageError: the entity or mode is unknown, or filter or columns hold what JSON cannot.
    """
    require_mode(mode)
    target = pick((yield SEARCHABLE), entity, home)
    values = _values(target, question, columns)
    if (mode or "text") == "text":
        (total,) = yield Statement(TOTAL, Total, values)
        found = (yield Statement(FACETS, Facet, values)) if columns else []
        return Facets(total, found)
    if question.filter is not None:
        yield filter_check(target, question)
    vector = yield Encode(question.query, target)
    near = {"vector": as_vector(vector), "candidates": CANDIDATES} | ({"query": None} if mode == "vector" else {})
    return Facets(None, (yield Statement(NEAR, Facet, values | near)))


def _values(target: Searchable, question: Question, columns: Columns) -> dict[str, Any]:
    try:
        named = json.dumps(list(columns), default=str, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise errors.UsageError(f"the facets are not valid JSON: {exc}") from None
    return {
        "oid": target.oid,
        "embedding": target.embedding,
        "query": question.query or None,
        "columns": named,
        "where": question.where,
        "k": question.k,
        "prefix": question.prefix,
        "fuzzy": question.fuzzy,
    }
