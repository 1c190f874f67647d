"""History: which entities may have one. Pure."""

from dataclasses import dataclass

from pgpipe.errors import UsageError
from pgpipe.settings.entity import EntitySettings, Mode


@dataclass(frozen=True)
class History:
    """What the settings say of an entity's history."""

    wanted: bool | None = None  # None: it stays as it is
    keep: str | None = None  # an interval; None: for ever


NO_WISH = History()


def history_of(entity: str, settings: EntitySettings, mode: Mode) -> History:
    """What is wanted, if it can be had.

    Raises:
        UsageError: the mode knows no versions of a row; or `keep` has no history to shorten.
    """
    if settings.keep and not settings.history:
        raise UsageError(f"{entity}: keep is how long a history lasts: write history = true, or leave keep out")
    if settings.history and mode == "append":
        raise UsageError(f"{entity}: history = true needs a key and mode upsert or snapshot; the mode is append")
    return History(settings.history, settings.keep)
