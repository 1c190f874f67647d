"""Change files: which of two rows of a key counts, and which rows say that their key is gone. Pure functions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pgpipe.errors import DataError, UsageError
from pgpipe.load import kinds
from pgpipe.load.ledger import Ledger
from pgpipe.load.plan.parts import Column, Part, RowGroup
from pgpipe.settings.entity import EntitySettings, Mode

KEPT = timedelta(days=90)  # how long tombstones are kept: pgpipe_internal.keep_tombstones has the same number
ORDERED = {"smallint", "integer", "bigint", "real", "double precision", "date", "uuid", "bytea", "text"}
ORDERED |= {"character varying", kinds.TIMESTAMP, kinds.TIMESTAMPTZ, "time without time zone"}


@dataclass(frozen=True)
class Changes:
    """How the rows of change files are read."""

    order: tuple[str, ...]  # columns: the row with the greatest values is the last
    delete: str | None  # SQL condition
    newest: tuple[date, str] | None = None  # date and file that the target has; what comes before it wins no tie

    def described(self) -> str:
        """For the plan."""
        last = f"the last by {', '.join(self.order)} counts" if self.order else ""
        return "; ".join(filter(None, (last, f"deletes if {self.delete}" if self.delete else "")))


def changes_of(entity: str, settings: EntitySettings, mode: Mode, day: date, ledger: Ledger) -> Changes | None:
    """How change files are read, if they are.

    Raises:
        UsageError: the mode is not upsert, or the condition of deletes names a column that is not read.
        DataError: the date is so old that nobody knows which of its rows were deleted since.
    """
    if not settings.order and settings.delete is None:
        return None
    if mode != "upsert":
        name = "order" if settings.order else "delete"
        raise UsageError(
            f"{entity}: entity.{entity}.{name} is for change files, which need mode upsert and a key;"
            f" the mode is {mode}"
        )
    words = re.sub(r"'[^']*'", "", settings.delete or "")
    if unread := [name for name in settings.exclude if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", words)]:
        raise UsageError(
            f"{entity}: entity.{entity}.delete names {unread[0]!r}, which exclude leaves out: it is not read;"
            " take it out of exclude"
        )
    newest = max(((entry.date, entry.file) for entry in ledger.entries), default=None)
    if settings.order and settings.delete is not None and newest and day < newest[0] - KEPT:
        raise DataError(
            f"{entity}: {newest[0]} is in the target, and {day} is more than {KEPT.days} days older: which of its rows"
            " were deleted since is not known any more; to load all dates in their order, truncate the table"
        )
    return Changes(tuple(settings.order), settings.delete, newest)


def check_order(changes: Changes, columns: Sequence[Column], entity: str) -> None:
    """Refuse columns that put rows into no order.

    Raises:
        UsageError: a column is not in the files, or its type has no order.
    """
    sent = {column.name: column.sent for column in columns}
    for name in changes.order:
        if name not in sent:
            raise UsageError(
                f"{entity}: entity.{entity}.order names {name!r}, which is not in the files;"
                f" they have {', '.join(sent)}"
            )
        if kinds.base(sent[name]) not in ORDERED and not kinds.NUMERIC.match(sent[name]):
            raise UsageError(
                f"{entity}: entity.{entity}.order names {name!r}, which is {sent[name]}: its values have no order;"
                " name columns of numbers, times or texts"
            )


def condition(changes: Changes, columns: Sequence[Column]) -> str | None:
    """The condition of a delete as SQL: a column alone may have any name."""
    if changes.delete and changes.delete in {column.name for column in columns}:
        return '"' + changes.delete.replace('"', '""') + '"'
    return changes.delete


def numbered(parts: Sequence[Part]) -> list[RowGroup]:
    """The row groups in the order of their files, by which ties are decided."""
    in_order = sorted(parts, key=lambda part: part.file.uri)
    return [RowGroup(part, number) for part in in_order for number in range(len(part.rows)) if part.rows[number]]


def as_json(changes: Changes, groups: Sequence[RowGroup], day: date, columns: Sequence[Column]) -> dict[str, Any]:
    """As pgpipe_internal.merge takes it, without the target's names."""
    before = [group for group in groups if changes.newest and (day, group.part.file.uri) < changes.newest]
    newest = max(day, changes.newest[0]) if changes.newest else day
    return {
        "order": list(changes.order),
        "delete": condition(changes, columns),
        "ties_from": len(before),
        "date": day.isoformat(),
        "newest": newest.isoformat(),
    }
