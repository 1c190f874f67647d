"""Names of folders: which are dates, which give a column, which are hidden; and the dates below a folder."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from urllib.parse import unquote

from pgpipe.errors import SourceError
from pgpipe.source import Source
from pgpipe.source.contents import format_of

NAMED = r"(?:[A-Za-z_]+=)?"  # hive folders: date=2026-11-22
WHOLE = re.compile(NAMED + r"(\d{4})-?(\d{2})-?(\d{2})$")
PART = re.compile(NAMED + r"(\d{1,4})$")
YEAR = re.compile(NAMED + r"\d{4}$")
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
Columns = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Place:
    """A folder of a date. It holds the files of one entity, or a folder for each entity."""

    path: str
    date: date
    entity: str = ""  # empty: the folders below are entities
    columns: Columns = ()  # what the folders on the way say


@dataclass
class Places:
    """What was found in a source."""

    found: list[Place] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  # folders that are neither a date nor on the way to one
    problems: dict[str, str] = field(default_factory=dict)  # why an entity cannot be loaded


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


def hive_column(name: str) -> tuple[str, str | None] | None:
    """The column and the value that a folder such as `region=eu` gives, percent-decoded."""
    column, is_hive, value = name.partition("=")
    if not (is_hive and column):
        return None
    return unquote(column), None if value == HIVE_NULL else unquote(value)


def is_hidden(name: str) -> bool:
    """Whether a folder is of the program that writes the others."""
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def join(*parts: str) -> str:
    """Parts of a path; empty ones are left out."""
    return "/".join(part for part in parts if part)


def require_plain(source: Source, folder: str, names: list[str]) -> None:
    """Refuse a folder that is itself a table of another format.

    Raises:
        SourceError: it is; the message names the format.
    """
    files = source.files(join(folder, "metadata")) if "metadata" in names else iter(())
    paths = [f"{name}/" for name in names] + [file.path.removeprefix(f"{folder}/") for file in files]
    if problem := format_of(join(source.url, folder), paths):
        raise SourceError(problem)


def find_places(source: Source) -> Places:
    """The date folders of a source, wherever the entities stand: above the dates, or below them.

    A folder such as `region=eu` may lie between, on any level. Where date folders lie in a folder, the other folders
    there are left out: they are not entities.

    Raises:
        SourceError: the source, or all that is in it, is a table of another format.
    """
    places = Places()
    places.found = list(_below(source, places, "", "", ()))
    if not places.found and places.problems:
        raise SourceError(next(iter(places.problems.values())))
    return places


def _below(source: Source, places: Places, path: str, entity: str, columns: Columns) -> Iterator[Place]:
    names = source.folders(path)
    if problem := _format(source, places, path, entity, names):
        raise problem
    dates, others = [], []
    for name in names:
        found = [] if is_hidden(name) else list(_dates(source, path, name))
        dates += [Place(below, day, entity, columns) for day, below in found]
        if not found:
            others.append(name)
    yield from dates
    for name in others:
        below, column = join(path, name), hive_column(name)
        if is_hidden(name):
            continue
        if column:
            yield from _below(source, places, below, entity, (*columns, column))
        elif dates or entity:
            places.left_out.append(below)
        else:
            yield from _below(source, places, below, name, columns)


def _format(source: Source, places: Places, path: str, entity: str, names: list[str]) -> SourceError | None:
    """Why nothing of the source can be loaded. Of an entity alone it is written down, and the others go on."""
    try:
        require_plain(source, path, names)
    except SourceError as exc:
        if not entity:
            return exc
        places.problems.setdefault(entity, str(exc))
    return None


def _dates(source: Source, path: str, name: str) -> Iterator[tuple[date, str]]:
    """The dates that a folder is, or holds as months and days."""
    at = join(path, name)
    if day := date_of(name):
        yield day, at
    elif YEAR.match(name):
        for month in source.folders(at):
            if PART.match(month):
                for last in source.folders(f"{at}/{month}"):
                    if day := date_of(name, month, last):
                        yield day, f"{at}/{month}/{last}"


def find_entities_below(source: Source, place: Place) -> Iterator[Place]:
    """The entities of a date folder; folders such as `region=eu` may lie between.

    Raises:
        SourceError: it is a table of another format.
    """
    names = source.folders(place.path)
    require_plain(source, place.path, names)
    for name in names:
        below, column = join(place.path, name), hive_column(name)
        if is_hidden(name):
            continue
        if column and not date_of(name):
            yield from find_entities_below(source, Place(below, place.date, "", (*place.columns, column)))
        else:
            yield Place(below, place.date, name, place.columns)
