"""Declaring the search column of a target, and keeping the lexeme table that ranking reads."""

import json
from dataclasses import dataclass

from pgpipe.choose import Choice
from pgpipe.db import Connection
from pgpipe.settings.entity import EntitySettings, RankingSettings, SearchDeclaration
from pgpipe.target import Target

ENABLE = """
    select pgpipe.enable_search(%s::oid::regclass, %s, %s::regconfig, %s,
                                with_index => %s, language_column => %s)
"""
ENSURE = """
    select pgpipe_internal.ensure_search(%s::oid::regclass, %s, %s::regconfig, %s, %s)
"""
TITLE = "select pgpipe.set_title(%s::oid::regclass, %s)"
RANKING = "select pgpipe.set_ranking(%s::oid::regclass, %s)"
DECLARED = "select true from pgpipe.search where target = %s::oid"
REFRESH = """
    select pgpipe.refresh_search(s.target) from pgpipe.search s
     where s.target = %s::oid and pgpipe_internal.search_is_stale(s.target)
"""


@dataclass(frozen=True)
class SearchPlan:
    """What to search of an entity, and how that was decided."""

    declaration: SearchDeclaration | None
    choices: tuple[Choice, ...] = ()


def plan_search(settings: EntitySettings, choices: list[Choice]) -> SearchPlan:
    """What is configured, else what the data suggests; no declaration where search is off or nothing is prose."""
    if settings.search is False:
        return SearchPlan(None)
    if settings.search is not None:
        return SearchPlan(settings.search)
    weights = {c.column: c.weight for c in choices if c.weight}
    if not weights:
        return SearchPlan(None, tuple(choices))
    # The longest text says most surely what language it is in; where none does, the configuration's default holds.
    known = [c.language for c in sorted(choices, key=lambda c: c.weight or "", reverse=True) if c.weight and c.language]
    declaration = SearchDeclaration(columns=weights, **({"language": known[0]} if known else {}))
    return SearchPlan(declaration, tuple(choices))


def is_declared(conn: Connection, target: Target) -> bool:
    """Whether the target has a search column."""
    return conn.execute(DECLARED, (target.oid,)).fetchone() is not None


def enable(conn: Connection, target: Target, declaration: SearchDeclaration, *, index: bool = True) -> None:
    """Declare the search column; a second call with the same declaration changes nothing.

    Raises:
        DatabaseError: another one is declared, or a column is not there.
    """
    columns = json.dumps(declaration.columns)
    conn.execute(
        ENABLE,
        (target.oid, columns, declaration.language, declaration.column_name, index, declaration.language_column),
    )


def ensure(conn: Connection, target: Target, declaration: SearchDeclaration) -> bool:
    """Make this the search of the target, whatever it had. Returns whether a column is to be filled (see fill.py).

    Raises:
        DatabaseError: a column is not there or cannot be used.
    """
    columns = json.dumps(declaration.columns)
    values = (target.oid, columns, declaration.language, declaration.column_name, declaration.language_column)
    row = conn.execute(ENSURE, values).fetchone()
    return row is not None and row[0]


def set_title(conn: Connection, target: Target, declaration: SearchDeclaration) -> None:
    """Name the column of the titles, if one is declared and the search column serves.

    Raises:
        DatabaseError: the column is not there.
    """
    if declaration.title is not None and is_declared(conn, target):
        conn.execute(TITLE, (target.oid, declaration.title))


def set_ranking(conn: Connection, target: Target, ranking: RankingSettings) -> None:
    """Set what searches rank by, if the search column serves; what is left out has its default.

    Raises:
        DatabaseError: the weights do not fall from A to D.
    """
    if is_declared(conn, target):
        conn.execute(RANKING, (target.oid, ranking.model_dump_json()))


def refresh(conn: Connection, target: Target) -> None:
    """Count lexemes again if the table has grown or shrunk by a tenth since the last count."""
    conn.execute(REFRESH, (target.oid,))
