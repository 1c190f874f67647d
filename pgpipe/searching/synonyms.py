"""Synonyms of an entity: read from a file in Solr's form, written to pgpipe.synonym, listed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from psycopg.rows import class_row

from pgpipe import errors
from pgpipe.db import Connection, translated
from pgpipe.target import Target

CLEAR = "delete from pgpipe.synonym where target = %s::oid"
WRITE = """
    insert into pgpipe.synonym (target, term, alternatives, both_ways) values (%s::oid::regclass, %s, %s, %s)
        on conflict (target, term, both_ways) do update
       set alternatives = array(select distinct word
                                  from unnest(synonym.alternatives || excluded.alternatives) word order by word)
"""
LISTED = """
    select n.nspname as schema, c.relname as name, c.oid::bigint as oid, s.term, s.alternatives, s.both_ways
      from pgpipe.synonym s join pg_catalog.pg_class c on c.oid = s.target
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.oid = coalesce(%s::oid, c.oid) order by c.relname, n.nspname, s.term, s.both_ways
"""


@dataclass(frozen=True)
class Synonym:
    """A term, and what a question that holds it asks for as well."""

    term: str
    alternatives: list[str]
    both_ways: bool  # each of them means the others


@dataclass(frozen=True)
class Declared(Target):
    """A synonym of a table."""

    term: str
    alternatives: list[str]
    both_ways: bool


def parse(lines: Iterable[str], name: str) -> Iterator[Synonym]:
    """The synonyms of a file: `a, b, c` mean each other, `a, b => c, d` is one way. `#` begins a comment.

    Raises:
        UsageError: a line has no second term; the message says which.
    """
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        left, one_way, right = text.partition("=>")
        terms, others = _terms(left), _terms(right)
        if one_way and terms and others:
            yield from (Synonym(term, [other for other in others if other != term] or others, False) for term in terms)
        elif not one_way and len(terms) > 1:
            yield Synonym(terms[0], terms[1:], True)
        else:
            raise errors.UsageError(
                f"{name}:{number} is not a synonym: write `coat, jacket, parka`, or `tv => television` for one way"
            )


def _terms(text: str) -> list[str]:
    """The terms between commas in small letters, each once."""
    return list(dict.fromkeys(filter(None, (" ".join(term.split()).lower() for term in text.split(",")))))


def write(conn: Connection, target: Target, synonyms: Iterable[Synonym], *, replace: bool) -> int:
    """Add synonyms to those of a target, or replace them all; in one transaction. Returns how many were given.

    Raises:
        DatabaseError: the role does not own the target.
    """
    rows = [(target.oid, each.term, each.alternatives, each.both_ways) for each in synonyms]
    with translated(), conn.transaction(), conn.cursor() as cursor:
        if replace:
            cursor.execute(CLEAR, (target.oid,))
        cursor.executemany(WRITE, rows)
    return len(rows)


def listed(conn: Connection, target: Target | None) -> list[Declared]:
    """The synonyms of one target, or of all."""
    with translated(), conn.cursor(row_factory=class_row(Declared)) as cursor:
        return cursor.execute(LISTED, (target.oid if target else None,)).fetchall()
