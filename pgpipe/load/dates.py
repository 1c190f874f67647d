"""Which dates of an entity are due. Pure: from the dates that the source has of it, and from the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from pgpipe.load.ledger import Ledger
from pgpipe.settings.entity import Mode


@dataclass(frozen=True)
class Wanted:
    """What is asked for."""

    since: date | None = None  # where nothing is loaded yet: from here on, not the newest alone
    lookback: int = 0  # dates before the newest that was loaded


@dataclass(frozen=True)
class Held:
    """What a target has, and how it takes further dates."""

    mode: Mode | None = None  # None: it cannot be read
    ledger: Ledger = field(default_factory=Ledger)

    @cached_property
    def newest(self) -> date | None:
        """Of the dates that were loaded."""
        return max(self.ledger.dates, default=None)

    def takes(self, day: date) -> bool:
        """Whether a date takes the target forward: not to one that is older, nor to one that was rolled back."""
        newest = self.newest
        return newest is None or day == newest or day > max(newest, self.ledger.replaced or newest)

    def is_late(self, day: date, wanted: Wanted) -> bool:
        """Whether a date was passed, and is looked at again."""
        return bool(wanted.lookback and self.mode != "snapshot" and self.newest and day < self.newest)

    def begin(self, dates: Sequence[date], wanted: Wanted) -> date | None:
        """The first date that is looked at; None: the newest one alone.

        Args:
            dates: of the source, oldest first.
            wanted: what is asked for.
        """
        newest = self.newest
        if newest is None:
            return None if self.mode == "snapshot" else wanted.since
        if self.mode == "snapshot" or not wanted.lookback:
            return newest
        # What came before the first load was left out on purpose.
        earlier = [day for day in dates if min(self.ledger.dates) <= day < newest]
        return min(earlier[-wanted.lookback :], default=newest)


def due(dates: Sequence[date], held: Held, wanted: Wanted) -> list[date]:
    """The dates to load, oldest first: those that go on from the newest one loaded, and before them what may be late.

    The newest date loaded is among them, because a file may have come to it. Where there is none to go on to, it is the
    newest of the source: the plan says why it is not loaded.

    Args:
        dates: that the source has of the entity, oldest first.
        held: what the target has.
        wanted: what is asked for.
    """
    begin, newest = held.begin(dates, wanted), held.newest
    if newest is None and begin is not None:
        return [day for day in dates if day >= begin]
    ahead = [day for day in dates if held.takes(day)]
    if begin is None or held.mode == "snapshot":
        return ahead[-1:] or ([] if held.ledger.replaced else list(dates[-1:]))
    late = [day for day in dates if newest and begin <= day < newest]
    return [*late, *ahead] or list(dates[-1:])
