"""The layout of a lake: date folders, entity folders, Parquet files. Finding them, and the rule which date counts."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import chain

from pgpipe.errors import SourceError
from pgpipe.source import File, Source
from pgpipe.source.contents import format_of, sort_out
from pgpipe.source.identity import distrust, let_settle

NAMED = r"(?:[A-Za-z_]+=)?"  # hive folders: date=2026-11-22
WHOLE = re.compile(NAMED + r"(\d{4})-?(\d{2})-?(\d{2})$")
PART = re.compile(NAMED + r"(\d{1,4})$")
YEAR = re.compile(NAMED + r"\d{4}$")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}


@dataclass(frozen=True)
class EntityFiles:
    """The files of one entity of one date, in order of their paths."""

    entity: str
    date: date
    files: tuple[File, ...]
    ignored: tuple[str, ...] = ()  # paths of files that are not data
    problem: str = ""  # why it cannot be loaded

    @property
    def name(self) -> str:
        """The entity's name, which is its table's."""
        return self.entity

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files)


def date_of(*names: str) -> date | None:
    """The date that one folder name (`2026-11-22`, `20261122`, `dt=2026-11-22`) or three (`2026`, `11`, `22`) mean."""
    if len(names) == 1:
        match = WHOLE.match(names[0])
        parts = match.groups() if match else ()
    else:
        matches = [PART.match(name) for name in names]
        parts = tuple(m.group(1) for m in matches if m)
    try:
        year, month, day = map(int, parts)
        return date(year, month, day)
    except ValueError:
        return None


def find_dates(source: Source) -> dict[date, str]:
    """All date folders of a source and their paths.

    Raises:
        SourceError: there is none, or two stand for the same date, or the source is a table of another format.
    """
    found: dict[date, str] = {}
    tops = source.folders("")
    _require_plain(source, "", tops)
    for day, path in _date_folders(source, tops):
        if day in found:
            raise SourceError(f"{source.url}: both {found[day]!r} and {path!r} stand for {day}; keep one")
        found[day] = path
    if not found:
        raise SourceError(f"{source.url} has no date folder; expected one such as 2026-11-22/ENTITY/part-0.parquet")
    return found


def _date_folders(source: Source, tops: list[str]) -> Iterable[tuple[date, str]]:
    for top in tops:
        day = date_of(top)
        if day:
            yield day, top
        elif YEAR.match(top):
            for month in source.folders(top):
                for last in source.folders(f"{top}/{month}"):
                    day = date_of(top, month, last)
                    if day:
                        yield day, f"{top}/{month}/{last}"


def find_entities(source: Source, day: date, folder: str) -> list[EntityFiles]:
    """The entities of a date folder with their Parquet files; an entity without one has an empty list of files.

    Raises:
        SourceError: the folder cannot be listed, or is a table of another format.
    """
    entities = source.folders(folder)
    _require_plain(source, folder, entities)
    listed = []
    for entity in entities:
        if entity.startswith(("_", ".")):
            continue
        under = f"{folder}/{entity}"
        found = sort_out(source, under, distrust(list(source.files(under))))
        listed.append(EntityFiles(entity, day, found.data, tuple(found.ignored), found.problem))
    let_settle((file for files in listed for file in files.files), datetime.now(UTC))
    return listed


def _require_plain(source: Source, folder: str, names: list[str]) -> None:
    """Refuse a folder that is itself a table of another format."""
    at = f"{folder}/" if folder else ""
    metadata = source.files(f"{at}metadata") if "metadata" in names else iter(())
    paths = chain((f"{name}/" for name in names), (file.path.removeprefix(at) for file in metadata))
    if problem := format_of(f"{source.url}/{folder}".rstrip("/"), paths):
        raise SourceError(problem)


def is_complete(source: Source, folder: str, gate: str, now: datetime | None = None) -> bool:
    """Whether a date may be loaded.

    `any`: always. `_SUCCESS`: a file of that name lies in its folder, or in all its entities'. `age:10m`: nothing was
    written to it for so long.
    """
    if gate == "any":
        return True
    files = list(source.files(folder))
    if gate == "_SUCCESS":
        marks = {f.path.rpartition("/")[0] for f in files if f.path.rpartition("/")[2] == "_SUCCESS"}
        entities = {f"{folder}/{name}" for name in source.folders(folder) if not name.startswith(("_", "."))}
        return folder in marks or (bool(entities) and entities <= marks)
    age = timedelta(**{UNITS[gate[-1]]: int(gate.removeprefix("age:")[:-1])})
    return bool(files) and max(f.modified for f in files) <= (now or datetime.now(UTC)) - age


def choose_date(source: Source, wanted: str, gate: str) -> tuple[date, str]:
    """The date to load and its folder.

    Args:
        source: where to look.
        wanted: `latest`, or a date as YYYY-MM-DD.
        gate: when a date counts as complete, as `source.complete`; a date asked for by name is loaded as it is.

    Raises:
        SourceError: the date does not exist, or none is complete.
    """
    dates = find_dates(source)
    if wanted != "latest":
        day = date.fromisoformat(wanted)
        if day not in dates:
            raise SourceError(f"{source.url} has no folder for {day}; the latest is {max(dates)}")
        return day, dates[day]
    for day in sorted(dates, reverse=True):
        if is_complete(source, dates[day], gate):
            return day, dates[day]
    raise SourceError(f"{source.url} has no complete date: source.complete is {gate!r}, and the latest is {max(dates)}")


def choose_dates(source: Source, wanted: str, gate: str) -> list[date]:
    """The dates to load, oldest first: the one that `choose_date` chooses, or of a range those that are complete.

    Args:
        source: where to look.
        wanted: `latest`, YYYY-MM-DD, or a range FIRST..LAST, both included; either may be left out.
        gate: when a date of a range, or the latest, counts as complete, as `source.complete`.

    Raises:
        SourceError: the date does not exist, or none is complete.
    """
    if ".." not in wanted:
        return [choose_date(source, wanted, gate)[0]]
    first, _, last = wanted.partition("..")
    begin = date.fromisoformat(first) if first else date.min
    end = date.fromisoformat(last) if last else date.max
    found = find_dates(source)
    chosen = [day for day in sorted(found) if begin <= day <= end and is_complete(source, found[day], gate)]
    if not chosen:
        raise SourceError(f"{source.url} has no complete date in {wanted}; it has {min(found)} to {max(found)}")
    return chosen
