"""A layout that the user writes, such as `{entity}/dt={date}`: what its parts mean, and the folders that fit it."""

import re
from collections.abc import Iterator
from datetime import date

from pgpipe.errors import SourceError
from pgpipe.settings.layout import OF_DATES, PLACEHOLDER
from pgpipe.source import Source
from pgpipe.source.folders import Place, Places, date_of, join

EXAMPLES = {"entity": "product", "date": "2026-11-22", "year": "2026", "month": "11", "day": "22"}
LEVELS = 12  # of folders that an example path has at most


class Template:
    """A layout, folder by folder."""

    def __init__(self, layout: str) -> None:
        self._layout = layout.strip("/")
        self._parts = [_pattern(part) for part in self._layout.split("/")]
        of_dates = [number for number, part in enumerate(self._parts) if part.groupindex.keys() & OF_DATES]
        self._dated = of_dates[-1] + 1  # so many folders down the date is known

    def places(self, source: Source) -> Places:
        """The folders of dates, down to where the date is known.

        Raises:
            SourceError: no folder fits; the message shows a path that the source has.
        """
        found = [place for place in self._below(source, "", {}, 0, self._dated) if place]
        if not found:
            example = PLACEHOLDER.sub(lambda part: EXAMPLES.get(part[1], "x"), self._layout)
            raise SourceError(
                f"source.layout = {self._layout!r} does not fit {source.url}: it has no folder such as {example}/,"
                f" but for example {_example(source)}/"
            )
        return Places(found)

    def entities(self, source: Source, place: Place) -> Iterator[Place]:
        """What fits below a folder of a date, down to the folder that holds the files."""
        known = {"date": place.date.isoformat(), "entity": place.entity} | dict(place.columns)
        yield from self._below(source, place.path, known, self._dated, len(self._parts))

    def _below(self, source: Source, path: str, known: dict[str, str | None], depth: int, end: int) -> Iterator[Place]:
        if depth == end:
            if day := _date(known):
                columns = tuple((name, known[name]) for name in known if name not in {"entity", *OF_DATES})
                yield Place(path, day, known.get("entity") or "", columns)
            return
        for name in source.folders(path):
            if match := self._parts[depth].fullmatch(name):
                yield from self._below(source, join(path, name), known | match.groupdict(), depth + 1, end)


def _pattern(part: str) -> re.Pattern[str]:
    """What a folder's name must be."""
    pattern, done = "", 0
    for found in PLACEHOLDER.finditer(part):
        pattern += re.escape(part[done : found.start()])
        pattern += f"(?P<{found[1]}>{OF_DATES.get(found[1], '.+')})" if found[1] else ".*"
        done = found.end()
    return re.compile(pattern + re.escape(part[done:]), re.DOTALL)


def _date(known: dict[str, str | None]) -> date | None:
    if known.get("date"):
        return date_of(str(known["date"]))
    return date_of(*(str(known.get(name)) for name in ("year", "month", "day")))


def _example(source: Source) -> str:
    """The first path of folders in a source."""
    path = ""
    while path.count("/") < LEVELS and (names := source.folders(path)):
        path = join(path, names[0])
    return path
