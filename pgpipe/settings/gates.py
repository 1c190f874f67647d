"""Gates of a load: how many rows it may change, as a number or a share, and what its rows must meet."""

import re
from dataclasses import dataclass
from typing import Any, Literal

Amount = int | float | str  # rows, or a share of them
Level = Literal["error", "warn"]  # of a check that fails: the load does, or it goes on and says so


@dataclass(frozen=True)
class Limit:
    """Rows or a share. If neither is given, any number may pass."""

    rows: int | None = None
    share: float | None = None


NO_LIMIT = Limit()
MAX_DELETED = 0.5
CHECK_TIMEOUT = 300.0  # seconds


@dataclass(frozen=True)
class Check:
    """SQL that the staged rows must meet: a condition, or a query that finds nothing."""

    sql: str
    level: Level


@dataclass(frozen=True)
class Gates:
    """What a load must meet before it writes."""

    max_deleted: Limit = NO_LIMIT
    max_changed: Limit = NO_LIMIT
    min_rows: int = 0
    checks: tuple[Check, ...] = ()
    check_timeout: float = CHECK_TIMEOUT

    @property
    def of_whole_date(self) -> bool:
        """Whether the rows of a date must be looked at together."""
        return self.min_rows > 0 or bool(self.checks)

    def limits(self) -> dict[str, Any]:
        """The limits that are set, as pgpipe_internal.merge takes them."""
        given = {"max_deleted": self.max_deleted, "max_changed": self.max_changed}
        return {name: as_share_or_rows(limit) for name, limit in given.items() if limit != NO_LIMIT}


def as_share_or_rows(limit: Limit) -> dict[str, Any]:
    """The one of both that is given."""
    return {"share": limit.share} if limit.rows is None else {"rows": limit.rows}


def as_limit(value: Amount) -> Limit:
    """Read a share such as 0.5 or "50%", or a number of rows; all means without a limit.

    Raises:
        ValueError: it is neither.
    """
    text = str(value).strip()
    share = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text)
    number = float(share[1]) / 100 if share else float(text) if re.fullmatch(r"\d+\.\d+", text) else None
    if number is not None and number <= 1:
        return Limit(rows=0) if number == 0 else Limit(share=number) if number < 1 else NO_LIMIT
    if text.isdecimal():
        return Limit(rows=int(text))
    raise ValueError('is a share such as 0.5 or "50%", or a number of rows')


def checked_limit(value: object) -> object:
    """The value as it is, if it is a limit; for the validators of fields."""
    if isinstance(value, int | float | str):
        as_limit(value)
    return value
