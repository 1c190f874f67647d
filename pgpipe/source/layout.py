"""The layout of a lake: which folders are dates and entities, which files are theirs, and when a date is complete."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from pgpipe.errors import SourceError
from pgpipe.source import File, Source, files_in
from pgpipe.source.contents import sort_out
from pgpipe.source.folders import Columns, Place, Places, date_of, find_entities_below, find_places
from pgpipe.source.identity import distrust, let_settle
from pgpipe.source.template import Template

MARK = "_SUCCESS"
UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}


@dataclass(frozen=True)
class EntityFiles:
    """The files of one entity of one date, in order of their paths."""

    entity: str
    date: date
    files: tuple[File, ...]
    ignored: tuple[str, ...] = ()  # paths of files that are not data
    problem: str = ""  # why it cannot be loaded
    folders: tuple[tuple[str, Columns], ...] = ()  # where the files lie, and the columns that folders above give

    @property
    def name(self) -> str:
        """The entity's name, which is its table's."""
        return self.entity

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files)


class Lake:
    """The dates and entities of a source. What was found of dates and entities is kept; files are listed each time."""

    def __init__(self, source: Source, layout: str | None = None) -> None:
        """Nothing is listed yet.

        Args:
            source: where to look.
            layout: as `source.layout`; found by itself if None.
        """
        self.source = source
        self._template = Template(layout) if layout else None
        self._entities: dict[date, dict[str, list[Place]]] = {}

    @cached_property
    def _found(self) -> Mapping[date, list[Place]]:
        """The folders of each date.

        Raises:
            SourceError: there is none, or two stand for the same date, or the layout is not clear.
        """
        places = self._places.found
        if not places:
            raise SourceError(
                f"{self.source.url} has no date folder; expected one such as 2026-11-22/ENTITY/part-0.parquet"
                " or ENTITY/dt=2026-11-22/part-0.parquet"
            )
        whole, single = [p for p in places if not p.entity], [p for p in places if p.entity]
        if whole and single and not self._template:
            raise SourceError(
                f"{self.source.url}: {whole[0].path!r} is a date with entities in it, {single[0].path!r} a date in an"
                " entity; set source.layout to one of them, such as {date}/{entity} or {entity}/{date}"
            )
        seen: dict[tuple[date, str, Columns], str] = {}
        found: dict[date, list[Place]] = defaultdict(list)
        for place in places:
            other = seen.setdefault((place.date, place.entity, place.columns), place.path)
            if other != place.path and not self._template:
                raise SourceError(
                    f"{self.source.url}: both {other!r} and {place.path!r} stand for {place.date}; keep one"
                )
            found[place.date].append(place)
        return found

    @cached_property
    def _places(self) -> Places:
        return self._template.places(self.source) if self._template else find_places(self.source)

    @property
    def by_entity(self) -> bool:
        """Whether each entity has dates of its own: its folder lies above them."""
        return any(place.entity for places in self._found.values() for place in places)

    @property
    def left_out(self) -> list[str]:
        """Folders that were taken neither for a date nor for an entity."""
        return self._places.left_out

    def dates(self, entity: str = "") -> list[date]:
        """The dates, oldest first: of the source, or where each entity has dates of its own, those of the entity."""
        if not (entity and self.by_entity):
            return sorted(self._found)
        return sorted(day for day, places in self._found.items() if any(p.entity == entity for p in places))

    def entity_names(self, day: date | None = None) -> list[str]:
        """The entities of a date. Without a date all, as far as no date's folder must be listed for it."""
        if day is not None:
            return list(self._of(day))
        return sorted({place.entity for places in self._found.values() for place in places if place.entity})

    def entities(self, day: date, names: Iterable[str] = ()) -> list[EntityFiles]:
        """The entities of a date with their Parquet files; an entity without one has an empty list of files.

        Args:
            day: the date.
            names: by default all that it has.

        Raises:
            SourceError: a folder cannot be listed, or is a table of another format.
        """
        places = self._of(day)
        listed = [self._listed(name, day, places[name]) for name in (names or places)]
        let_settle((file for files in listed for file in files.files), datetime.now(UTC))
        return listed

    def _of(self, day: date) -> dict[str, list[Place]]:
        """The folders of each entity of a date."""
        if day not in self._entities:
            found: dict[str, list[Place]] = defaultdict(list)
            for place in self._found.get(day, ()):
                for below in self._below(place):
                    found[below.entity].append(below)
            self._entities[day] = dict(sorted(found.items()))
        return self._entities[day]

    def _below(self, place: Place) -> Iterator[Place]:
        if self._template:
            return self._template.entities(self.source, place)
        return iter([place]) if place.entity else find_entities_below(self.source, place)

    def _listed(self, entity: str, day: date, places: list[Place]) -> EntityFiles:
        folders = tuple((place.path, place.columns) for place in places)
        if problem := self._places.problems.get(entity) or self._unclear(entity, places):
            return EntityFiles(entity, day, (), problem=problem, folders=folders)
        listed = [(path, list(self.source.files(path))) for path, _ in folders]
        trusted = {file.path: file for file in distrust([file for _, files in listed for file in files])}
        sorted_out = [sort_out(self.source, path, [trusted[file.path] for file in files]) for path, files in listed]
        return EntityFiles(
            entity,
            day,
            tuple(file for found in sorted_out for file in found.data),
            tuple(name for found in sorted_out for name in found.ignored),
            next((found.problem for found in sorted_out if found.problem), ""),
            folders,
        )

    def _unclear(self, entity: str, places: list[Place]) -> str:
        """Why it is not clear what an entity's folders are: one is named like a date, or two are the same."""
        first = places[0]
        for place in places[1:]:
            if place.columns == first.columns:
                return f"both {first.path!r} and {place.path!r} stand for {place.date}; keep one"
        if self._template or self.by_entity or not date_of(entity):
            return ""
        return (
            f"{self.source.url}/{first.path} lies in the folder of {first.date} and is named like a date too; rename"
            " it, or say what is what by source.layout, such as {entity}/{date}"
        )

    def is_complete(self, day: date, gate: str, entity: str = "", now: datetime | None = None) -> bool:
        """Whether a date may be loaded.

        Args:
            day: the date.
            gate: `any`: always. `_SUCCESS`: a file of that name lies in the date's folder, or in all its entities'.
                `age:10m`: nothing was written to it for so long.
            entity: where each entity has dates of its own: the one that is asked about; by default any of them.
            now: for `age`.
        """
        places = self._found.get(day, [])
        if gate == "any":
            return bool(places)
        if not self.by_entity:
            return bool(places) and self._are_complete(places, gate, now)
        of_entities = {name: [p for p in places if p.entity == name] for name in sorted({p.entity for p in places})}
        names = [entity] if entity else of_entities
        return any(self._are_complete(of_entities[name], gate, now) for name in names if name in of_entities)

    def _are_complete(self, places: list[Place], gate: str, now: datetime | None) -> bool:
        files = {place: list(self.source.files(place.path)) for place in places}
        if gate == MARK:
            return all(self._is_marked(place, files[place]) for place in places)
        age = timedelta(**{UNITS[gate[-1]]: int(gate.removeprefix("age:")[:-1])})
        written = [file.modified for found in files.values() for file in found]
        return bool(written) and max(written) <= (now or datetime.now(UTC)) - age

    def _is_marked(self, place: Place, files: list[File]) -> bool:
        marks = {file.path.rpartition("/")[0] for file in files if file.path.rpartition("/")[2] == MARK}
        if place.path in marks:
            return True
        entities = {below.path for below in self._below(place)}
        if entities and entities <= marks:
            return True
        if not place.entity:
            return False
        # Spark marks the entity's folder after each run: what is not newer than the mark was there then.
        above = place.path
        while "/" in above and above.rpartition("/")[2] != place.entity:
            above = above.rpartition("/")[0]
        mark = next((f for f in files_in(self.source, above) if f.path == f"{above}/{MARK}"), None)
        return mark is not None and bool(files) and max(file.modified for file in files) <= mark.modified
