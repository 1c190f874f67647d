"""The gates that a load must pass: those that are set, less those that a user lets pass once."""

from collections.abc import Collection
from datetime import date

from pgpipe.errors import GateFailed
from pgpipe.settings.entity import EntitySettings
from pgpipe.settings.gates import CHECK_TIMEOUT, MAX_DELETED, NO_LIMIT, Check, Gates, as_limit


def find_gates(settings: EntitySettings, accept: Collection[str]) -> Gates:
    """What is set, without the gates that a user lets pass once."""
    deleted = MAX_DELETED if settings.max_deleted is None else settings.max_deleted
    changed = NO_LIMIT if settings.max_changed is None else as_limit(settings.max_changed)
    return Gates(
        NO_LIMIT if "max_deleted" in accept else as_limit(deleted),
        NO_LIMIT if "max_changed" in accept else changed,
        0 if "min_rows" in accept else settings.min_rows or 0,
        () if "checks" in accept else tuple(Check(*each) for each in (settings.checks or {}).items()),
        settings.check_timeout or CHECK_TIMEOUT,
    )


def require_rows(entity: str, day: date, rows: int, gates: Gates) -> None:
    """Refuse a date of fewer rows than it must have.

    Args:
        entity: whose date it is.
        day: the date.
        rows: that will be written, or are the target's already.
        gates: of the load.

    Raises:
        GateFailed: it has fewer.
    """
    if rows < gates.min_rows:
        raise GateFailed(
            f"{entity}: {day} has {rows:,} rows, and min_rows is {gates.min_rows:,}; nothing was changed; if the files"
            " are right, let it pass once with `--accept min_rows`"
        )
