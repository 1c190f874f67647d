"""Suggestions while somebody types: completions of the last word, and titles."""

from dataclasses import dataclass

from pgpipe.searching.ask import SEARCHABLE, Question, Statement, pick
from pgpipe.searching.asking import Steps

SUGGEST = "select suggestion, kind, rows from pgpipe.suggest(%(oid)s::oid::regclass, %(query)s, %(k)s)"
MOST = 200  # characters that are completed


@dataclass(frozen=True)
class Suggestion:
    """What may be meant by what is typed so far."""

    suggestion: str
    kind: str  # word or title
    rows: int | None  # that hold the word, about; None for a title


def suggestions(prefix: str, entity: str | None, k: int, home: str) -> Steps[list[Suggestion]]:
    """The steps to the suggestions for what is typed.

    Raises:
        UsageError: the entity is unknown.
    """
    target = pick((yield SEARCHABLE), entity, home)
    typed = Question(prefix).query
    if len(typed) > MOST:
        return []
    found: list[Suggestion] = yield Statement(SUGGEST, Suggestion, {"oid": target.oid, "query": typed, "k": k})
    return found
