"""Dates that are older than what a target holds: which modes take them, and what a rollback leaves behind."""

from collections.abc import Sequence
from datetime import date

from pgpipe.errors import DataError
from pgpipe.load.ledger import Ledger
from pgpipe.settings.entity import Mode
from pgpipe.source import File
from pgpipe.source.layout import EntityFiles


def takes_late(mode: Mode, *, ordered: bool) -> bool:
    """Whether a file of a date that was passed already does no harm: no newer row is in its way."""
    return mode == "append" or (mode == "upsert" and ordered)


def too_old(files: EntityFiles, newest: date, late: Sequence[File] = ()) -> DataError:
    """Why a date is not loaded, with the files that came late to it."""
    entity, day = files.entity, files.date
    if not late:
        return DataError(
            f"{entity}: {newest} is in the target, and {day} is older; to load it all the same, add `--accept older`"
        )
    more = f" and {len(late) - 1} more" if len(late) > 1 else ""
    return DataError(
        f"{entity}: {late[0].uri}{more} came late: {newest} is in the target, and older rows would take the place of"
        f" newer ones; to load it all the same: --entity {entity} --date {day} --accept older"
    )


def rolled_back(mode: Mode, ledger: Ledger, day: date) -> date | None:
    """The newest date that a snapshot of this one takes out of the target, or that one before it did."""
    known = [*ledger.dates, *filter(None, [ledger.replaced])]
    newest = max(known, default=day)
    return newest if mode == "snapshot" and newest > day else None
