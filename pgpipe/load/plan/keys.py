"""A key for an entity that has none: what is proposed, and what is said where one is needed. A load adopts no guess."""

import json
from dataclasses import dataclass
from datetime import date
from typing import Any

from pgpipe.errors import DataError, UsageError
from pgpipe.load.plan.facts import Facts
from pgpipe.settings.describe import toml_name

GENERATED = "pgpipe_row"


@dataclass(frozen=True)
class Proposal:
    """Columns that may identify a row, and what was seen of them."""

    columns: tuple[str, ...]
    looked: int  # rows that were looked at
    rows: int  # that the date has

    @property
    def is_unique(self) -> bool:
        """Whether all rows were looked at."""
        return self.looked == self.rows

    @property
    def line(self) -> str:
        """What to write."""
        return f"key = {json.dumps(list(self.columns), ensure_ascii=False)}"

    @property
    def reason(self) -> str:
        """Why these."""
        names, together = " and ".join(self.columns), "together " if len(self.columns) > 1 else ""
        if self.is_unique:
            verb = "are" if together else "is"
            return f"{names} {together}{verb} unique and not null in all {self.rows:,} rows of the date"
        looked = f"{self.looked:,} of {self.rows:,} rows were looked at"
        return f"{looked}; there, {names} {together}{'have' if together else 'has'} no value twice and no NULL"

    def as_json(self, entity: str) -> dict[str, Any]:
        """Plain values."""
        return {
            "columns": list(self.columns),
            "unique": self.is_unique,
            "looked_at": self.looked,
            "rows": self.rows,
            "reason": self.reason,
            "write": f"[entity.{toml_name(entity)}]\n{self.line}\n",
            "text": self.as_text(entity),
        }

    def as_text(self, entity: str) -> str:
        """One line."""
        return f"if it is right, write {self.line} under [entity.{toml_name(entity)}]: {self.reason}"


def may_replace(key: tuple[str, ...], facts: Facts) -> bool:
    """Whether a key was configured for a target whose rows had to be given one."""
    return facts.ours and facts.primary_key == (GENERATED,) != key and set(key) <= {each.name for each in facts.columns}


def replacing(key: tuple[str, ...], why_not: str | None) -> str:
    """What becomes of the generated key."""
    names = ", ".join(key)
    if why_not is None:
        return f"{names} becomes the primary key, in the place of {GENERATED}"
    return f"{GENERATED} stays the primary key, and rows are found by {names}: {why_not}"


class KeyNeeded(DataError):
    """A load that cannot be done without a key."""

    def proposing(self, entity: str, proposal: Proposal) -> "KeyNeeded":
        """The same, with what may be the key."""
        said = KeyNeeded(f"{self}; {proposal.as_text(entity)}")
        said.exit_code = self.exit_code
        return said


def needed_for_date(entity: str, day: date, newest: date) -> KeyNeeded:
    """A second date would double rows."""
    return KeyNeeded(
        f"{entity}: without a key {day} would be added to the rows of {newest};"
        f" under [entity.{toml_name(entity)}] write"
        ' key = ["…"] with the columns that identify a row, or mode = "append" if it is to be added'
    )


def needed_for_mode(entity: str, mode: str) -> KeyNeeded:
    """The mode compares rows by their keys."""
    error = KeyNeeded(f"{entity}: mode {mode} needs a key: --key COLUMN, or entity.{entity}.key in the configuration")
    error.exit_code = UsageError.exit_code
    return error
