"""Searches beyond one question to one entity: several entities in one list, and rows that are like a row."""

import json
from collections.abc import Sequence
from typing import Any

from pgpipe import errors
from pgpipe.searching.ask import SEARCHABLE, Hit, Question, Searchable, SearchMode, Statement, filter_check, pick
from pgpipe.searching.rerank import Declared, chosen, reranked, widened
from pgpipe.searching.steps import Encode, Steps

SEARCH_ALL = """
    select key, score, text_rank, vector_rank, title, passage, "row", corrected, details,
           (%(names)s::text[])[array_position(%(oids)s::oid[], target::oid)] as entity
      from pgpipe.search_all(%(query)s, %(oids)s::oid[]::regclass[], %(k)s, %(where)s::jsonb, %(skip)s,
                             %(vectors)s::jsonb, %(fuzzy)s, %(options)s::jsonb)
"""
SIMILAR = """
    select hit_key as key, score, text_rank, vector_rank, title, passage, "row", details
      from pgpipe.similar(%(oid)s::oid::regclass, %(key)s::jsonb, %(k)s, %(where)s::jsonb,
                          options => %(options)s::jsonb)
"""


def hits_of_several(
    question: Question, entities: Sequence[str], mode: SearchMode | None, known: Declared
) -> Steps[list[Hit]]:
    """The steps of a search of several entities, each in its best mode, or by words alone.

    Raises:
        UsageError: an entity is unknown, or the search is one for a single entity.
    """
    if mode == "vector" or question.prefix or question.order_by:
        raise errors.UsageError("several entities are merged by their scores: without mode vector, prefix and order_by")
    tables: list[Searchable] = yield SEARCHABLE
    targets = list(dict.fromkeys(pick(tables, name, known.home) for name in entities))
    by = chosen(question, targets, known)
    wide = widened(question, by)
    vectors: list[list[float] | None] = []
    if question.filter is not None:  # before a model is loaded
        for target in targets:
            yield filter_check(target, question)
    for target in targets:
        by_words = mode == "text" or target.best_mode == "text"
        vectors.append(None if by_words else (yield Encode(question.query, target)))
    values = {
        "names": [target.label(known.home) for target in targets],
        "oids": [target.oid for target in targets],
        "query": question.query,
        "k": wide.k,
        "where": question.where,
        "skip": wide.skip,
        "vectors": json.dumps(vectors),
        "fuzzy": question.fuzzy,
        "options": question.options,
    }
    found: list[Hit] = yield Statement(SEARCH_ALL, Hit, values)
    return (yield from reranked(found, question, by))


def similar(question: Question, key: dict[str, Any], entity: str | None, home: str) -> Steps[list[Hit]]:
    """The steps to the rows that are like the one with this key; of the question its filter and options hold.

    Raises:
        UsageError: the entity is unknown.
    """
    target = pick((yield SEARCHABLE), entity, home)
    values = {
        "oid": target.oid,
        "key": json.dumps(key, default=str),
        "k": question.k,
        "where": question.where,
        "options": question.options,
    }
    found: list[Hit] = yield Statement(SIMILAR, Hit, values)
    return found
