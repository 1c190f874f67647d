"""Soft deletes: which entities may keep the rows that are gone, and in which column they are marked. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pgpipe.errors import DataError, UsageError
from pgpipe.load.kinds import TIMESTAMPTZ
from pgpipe.load.plan.facts import Facts
from pgpipe.load.plan.parts import Column, check_name
from pgpipe.settings.entity import EntitySettings, Mode


@dataclass(frozen=True)
class SoftDelete:
    """What the settings and the target say of rows that are gone."""

    wanted: str | None = None  # the column; "" ends it, None leaves it as it is
    column: str | None = None  # in which rows will be marked; None: they are deleted
    stored: bool = False  # the target has the column

    @property
    def added(self) -> tuple[Column, ...]:
        """The column that the target lacks."""
        return () if self.column is None or self.stored else (Column(self.column, TIMESTAMPTZ),)


DELETED = SoftDelete()


def soft_delete_of(entity: str, settings: EntitySettings, mode: Mode, facts: Facts) -> SoftDelete:
    """What is wanted, if it can be had.

    Raises:
        UsageError: the mode deletes no rows.
    """
    wanted = settings.soft_delete
    if wanted and mode != "snapshot" and settings.delete is None:
        raise UsageError(
            f"{entity}: soft_delete is for rows that a load deletes: it needs mode snapshot, or `delete` of change"
            f" files; the mode is {mode}"
        )
    if wanted:
        check_name(wanted, "column", f"entity.{entity}.soft_delete")
    if mode == "append":
        return DELETED
    column = facts.soft_delete if wanted is None else wanted or None
    stored = facts.table is not None and column in {each.name for each in facts.columns}
    return SoftDelete(None if wanted is None else wanted or "", column, stored)


def without_marks(facts: Facts, settings: EntitySettings) -> Facts:
    """The facts, in which the column of the marks is one that files do not fill."""
    column = facts.soft_delete if settings.soft_delete is None else settings.soft_delete
    known = {facts.soft_delete, column}
    columns = (replace(each, filled="mark") if each.name in known else each for each in facts.columns)
    return replace(facts, columns=tuple(columns))


def require_unused(entity: str, soft_delete: SoftDelete, names: Iterable[str]) -> None:
    """Refuse files that have the column themselves.

    Raises:
        DataError: they do.
    """
    if soft_delete.column is not None and soft_delete.column in names:
        raise DataError(
            f"{entity}: soft_delete marks rows in {soft_delete.column!r}, and the files have a column of this name:"
            f" write another one, or leave it out by entity.{entity}.exclude"
        )
