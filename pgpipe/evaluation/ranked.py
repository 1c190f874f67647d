"""Answers to judged questions: the keys of the best rows, as a user's search finds them or with other settings."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

from psycopg.rows import class_row

from pgpipe.api.vectors import QuestionVectors, models
from pgpipe.db import Connection, translated
from pgpipe.errors import UsageError
from pgpipe.evaluation.judgements import Judgements, answered
from pgpipe.evaluation.measure import DEPTH
from pgpipe.searching import asking
from pgpipe.searching.ask import Question, Searchable, SearchMode, fetch, vector_text
from pgpipe.searching.rerank import Declared
from pgpipe.settings.model import EmbeddingSettings

KNOWN = "select place, key from pgpipe_internal.judged_keys(%s::oid::regclass, %s::jsonb[])"
EMBEDDING = """
    select c.oid::bigint as oid, n.nspname as schema, c.relname as name,
           exists (select from pgpipe.search s where s.target = c.oid) as searched,
           e.name as embedding, e.model, e.dims, e.fingerprint
      from pgpipe.embedding e
      join pg_catalog.pg_class c on c.oid = e.target
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where e.target = %s::oid and e.name = %s
"""
NAMES = "select coalesce(string_agg(name, ', ' order by name), 'none') from pgpipe.embedding where target = %s::oid"
WAITING = (
    "select count(*) from pgpipe.job j join pgpipe.embedding e using (embedding_id) where (target, name) = (%s, %s)"
)
TRY_TEXT = """
    select pgpipe_internal.row_keys(pgpipe_internal.try_ranking(%s::oid::regclass, %s, %s::jsonb, %s))
"""
TRY_HYBRID = "select keys from pgpipe_internal.try_weights(%s::oid::regclass, %s, %s, %s, %s, %s, %s) order by place"
AS_FOUND = Declared("")  # no entity is reranked
Answers = dict[str, list[str]]  # question → rows, best first
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Known:
    """Judgements of the rows that a table has."""

    judgements: Judgements  # rows by their keys, as key_text writes them
    lacking: int  # judged rows that the table does not have


def key_text(key: dict[str, Any]) -> str:
    """A key as one word, the same for the same row."""
    return json.dumps(key, sort_keys=True, ensure_ascii=False)


def of_table(conn: Connection, target: Searchable, judgements: Judgements) -> Known:
    """The judgements by the keys of a table, without rows that it does not have.

    Raises:
        UsageError: it has none of them.
    """
    written = list(dict.fromkeys(row for rows in judgements.grades.values() for row in rows))
    with translated():
        found = conn.execute(KNOWN, (target.oid, [_as_json(row) for row in written])).fetchall()
    rows = {written[place - 1]: key_text(key) for place, key in found}
    if not rows:
        raise UsageError(
            f"{target.qualified} has none of the {len(written):,} judged rows, such as {written[0]!r}; a row is named"
            ' by its key, as 7 or {"id": 7}'
        )
    grades = {q: {rows[r]: grade for r, grade in given.items() if r in rows} for q, given in judgements.grades.items()}
    return Known(answered(judgements.questions, grades), len(written) - len(rows))


def _as_json(row: str) -> str:
    """A key as it may be written: an object, or the value of a key of one column."""
    try:
        return row if isinstance(json.loads(row), dict) else json.dumps(row)
    except (ValueError, RecursionError):
        return json.dumps(row)


def with_embedding(conn: Connection, target: Searchable, name: str) -> tuple[Searchable, int]:
    """The table as a search by this embedding sees it, and how many rows wait for their vectors.

    Raises:
        UsageError: there is none of this name.
    """
    with translated(), conn.cursor(row_factory=class_row(Searchable)) as cursor:
        found = cursor.execute(EMBEDDING, (target.oid, name)).fetchone()
        if found is None:
            names = conn.execute(NAMES, (target.oid,)).fetchone()
            raise UsageError(f"{target.qualified} has no embedding {name!r}; it has {names[0] if names else 'none'}")
        waiting = conn.execute(WAITING, (target.oid, name)).fetchone()
    return replace(found, vectors=target.vectors), waiting[0] if waiting else 0


class Ranker:
    """Asks the questions of one evaluation. A question's vector is computed once for each model."""

    def __init__(self, conn: Connection, settings: EmbeddingSettings, questions: int) -> None:
        self._conn = conn
        self._vectors = QuestionVectors(settings, models, 2 * questions)

    def ask(
        self, judgements: Judgements, target: Searchable, mode: SearchMode, advance: Advance
    ) -> tuple[Answers, float]:
        """The answers of a search as users have it, and the median of its milliseconds without the model's."""
        answers: Answers = {}
        taken: list[float] = []
        for name, text in judgements.questions.items():
            vector = None if mode == "text" else self._vectors(Question(text).query, target)
            began = perf_counter()
            steps = asking.hits_of(target, mode, Question(text, DEPTH, rerank=False), AS_FOUND, vector)
            hits = asking.take(steps, partial(fetch, self._conn), self._vectors)
            taken.append((perf_counter() - began) * 1000)
            answers[name] = [key_text(hit.key) for hit in hits]
            advance(1)
        return answers, median(taken)

    def by_words(self, judgements: Judgements, target: Searchable, ranking: dict[str, Any]) -> Answers:
        """The answers of a text search with these settings of ranking."""
        found: Answers = {}
        for name, text in judgements.questions.items():
            values = (target.oid, Question(text).query, json.dumps(ranking), DEPTH)
            with translated():
                row = self._conn.execute(TRY_TEXT, values).fetchone()
            found[name] = _texts(row[0] if row else None)
        return found

    def by_weights(
        self, judgements: Judgements, target: Searchable, ranking: dict[str, Any], pairs: list[tuple[float, float]]
    ) -> list[Answers]:
        """The answers of hybrid searches with these settings, one for each pair of weights of words and meaning."""
        found: list[Answers] = [{} for _ in pairs]
        for name, text in judgements.questions.items():
            query = Question(text).query
            vector = vector_text(self._vectors(query, target))
            values = (target.oid, query, vector, target.embedding, json.dumps(ranking), DEPTH, json.dumps(pairs))
            with translated():
                rows = self._conn.execute(TRY_HYBRID, values).fetchall()
            for answers, (keys,) in zip(found, rows, strict=True):
                answers[name] = _texts(keys)
        return found


def _texts(keys: Iterable[dict[str, Any]] | None) -> list[str]:
    return [key_text(key) for key in keys or ()]
