"""Which dates of a lake count: the newest that is complete, one that is named, or a range."""

from collections.abc import Sequence
from datetime import date

from pgpipe.errors import SourceError
from pgpipe.source.layout import EntityFiles, Lake


def find_newest(lake: Lake, gate: str, names: Sequence[str] = ()) -> list[EntityFiles]:
    """The entities of the newest complete date; where each has dates of its own, each of its own newest one.

    Args:
        lake: where to look.
        gate: when a date counts as complete, as `source.complete`.
        names: of the entities; by default all.

    Raises:
        SourceError: none of the dates is complete.
    """
    if not lake.by_entity:
        return lake.entities(choose_date(lake, "latest", gate), names)
    found = []
    for name in names or lake.entity_names():
        days = lake.dates(name)
        day = next((day for day in reversed(days) if lake.is_complete(day, gate, name)), None)
        found += lake.entities(day, [name]) if day else [none_complete(lake, gate, name)]
    if found and not any(files.folders for files in found):
        raise SourceError(_none_complete(lake, gate))
    return found


def none_complete(lake: Lake, gate: str, entity: str) -> EntityFiles:
    """An entity with dates of its own, none of which is complete."""
    newest = lake.dates(entity)[-1]
    problem = f"it has no complete date: source.complete is {gate!r}, and the latest is {newest}"
    return EntityFiles(entity, newest, (), problem=problem)


def _none_complete(lake: Lake, gate: str) -> str:
    latest = lake.dates()[-1]
    return f"{lake.source.url} has no complete date: source.complete is {gate!r}, and the latest is {latest}"


def choose_date(lake: Lake, wanted: str, gate: str) -> date:
    """The date to load.

    Args:
        lake: where to look.
        wanted: `latest`, or a date as YYYY-MM-DD.
        gate: when a date counts as complete, as `source.complete`; a date asked for by name is loaded as it is.

    Raises:
        SourceError: the date does not exist, or none is complete.
    """
    dates = lake.dates()
    if wanted != "latest":
        day = date.fromisoformat(wanted)
        if day not in dates:
            raise SourceError(f"{lake.source.url} has no folder for {day}; the latest is {dates[-1]}")
        return day
    for day in reversed(dates):
        if lake.is_complete(day, gate):
            return day
    raise SourceError(_none_complete(lake, gate))


def choose_dates(lake: Lake, wanted: str, gate: str) -> list[date]:
    """The dates to load, oldest first: the one that `choose_date` chooses, or of a range those that are complete.

    Args:
        lake: where to look.
        wanted: `latest`, YYYY-MM-DD, or a range FIRST..LAST, both included; either may be left out.
        gate: when a date of a range, or the latest, counts as complete, as `source.complete`.

    Raises:
        SourceError: the date does not exist, or none is complete.
    """
    if ".." not in wanted:
        return [choose_date(lake, wanted, gate)]
    first, _, last = wanted.partition("..")
    begin = date.fromisoformat(first) if first else date.min
    end = date.fromisoformat(last) if last else date.max
    found = lake.dates()
    chosen = [day for day in found if begin <= day <= end and lake.is_complete(day, gate)]
    if not chosen:
        raise SourceError(f"{lake.source.url} has no complete date in {wanted}; it has {found[0]} to {found[-1]}")
    return chosen
