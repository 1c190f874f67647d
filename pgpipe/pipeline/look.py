"""A look at the source, newest date first: which entities its dates have. As far back as somebody needs it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from pgpipe.db import Connection
from pgpipe.errors import PgpipeError, SourceError, UsageError
from pgpipe.load.dates import Held, Wanted
from pgpipe.load.plan.decide import choose_mode
from pgpipe.load.plan.target import read_facts
from pgpipe.pipeline.context import Context
from pgpipe.source.layout import EntityFiles, find_dates, find_entities, is_complete

RECENT = 31  # dates that are searched for an entity, and for gaps


@dataclass
class Look:
    """What the source has, as far as it was looked at."""

    held: dict[str, Held] = field(default_factory=dict)  # by entity, as the rest
    found: dict[str, dict[date, EntityFiles]] = field(default_factory=dict)
    newest: date | None = None  # complete one
    entities: list[str] = field(default_factory=list)  # of that date
    waiting: list[date] = field(default_factory=list)  # dates that are not complete

    def dates(self, entity: str) -> list[date]:
        """Complete dates of an entity, oldest first."""
        return sorted(self.found.get(entity, ()))


def look(conn: Connection, context: Context, wanted: Wanted, named: Sequence[str]) -> Look:
    """List the dates that an entity may need.

    Args:
        conn: to read the ledger on.
        context: of the run.
        wanted: what is asked for.
        named: entities, if not all.

    Raises:
        SourceError: no date is complete, or the newest one holds nothing.
        UsageError: an entity that the source does not have.
    """
    source, folders = context.source, find_dates(context.source)
    days = _not_ahead(context, folders)
    seen = Look()
    known = set(named) or {*context.settings.entity, *loaded_entities(conn, context.database.schema)}
    seen.held = {name: read_held(conn, context, name) for name in known}
    for place, day in enumerate(reversed(days)):
        if seen.newest and not any(_needs(seen, name, day, place, wanted) for name in seen.held):
            continue
        if not is_complete(source, folders[day], context.settings.source.complete):
            seen.waiting.append(day)
            continue
        listed = {files.entity: files for files in find_entities(source, day, folders[day])}
        if not listed and not seen.newest:
            raise SourceError(f"{source.url}: the folder of {day} has no entity folder in it")
        if not seen.newest:
            seen.newest, seen.entities = day, list(listed)
        for name in set(listed).intersection(named) if named else listed:
            if name not in seen.held:
                seen.held[name] = read_held(conn, context, name)
            seen.found.setdefault(name, {})[day] = listed[name]
    _check_found(context, seen, max(days), named)
    return seen


def _needs(seen: Look, entity: str, day: date, place: int, wanted: Wanted) -> bool:
    """Whether a date may be due for an entity, or be a gap."""
    held, found, is_recent = seen.held[entity], seen.dates(entity), place < RECENT
    if not found and not is_recent:
        return False
    begin = held.begin(found, wanted)
    if begin is None:
        return not found
    if day >= begin:
        return True
    if held.newest is None or held.mode == "snapshot" or day < min(held.ledger.dates):
        return False
    is_late = len([each for each in found if each < held.newest]) < wanted.lookback
    return is_late or (is_recent and day not in held.ledger.dates)


def _not_ahead(context: Context, folders: Iterable[date]) -> list[date]:
    """Dates, oldest first, without those to come: once loaded, they would make every real date an older one."""
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    ahead = sorted(day for day in folders if day > tomorrow)
    if ahead:
        context.tell(f"{context.source.url}: {ahead[0]} is left alone, because it is a date to come; rename its folder")
    days = sorted(day for day in folders if day <= tomorrow)
    if not days:
        raise SourceError(f"{context.source.url} has only dates to come; the first is {ahead[0]}")
    return days


def _check_found(context: Context, seen: Look, newest: date, named: Sequence[str]) -> None:
    url, gate = context.source.url, context.settings.source.complete
    if seen.newest is None:
        raise SourceError(f"{url} has no complete date: source.complete is {gate!r}, and the latest is {newest}")
    for name in named:
        if name not in seen.found:
            raise UsageError(f"{url} has no entity {name!r} on {seen.newest}; it has {', '.join(seen.entities)}")


def loaded_entities(conn: Connection, schema: str) -> list[str]:
    """Entities of which a target holds files."""
    found = conn.execute("select distinct entity from pgpipe.load_file where schema = %s", (schema,))
    return [name for (name,) in found]


def read_held(conn: Connection, context: Context, entity: str) -> Held:
    """What the target of an entity has."""
    try:
        facts = read_facts(conn, context.database.schema, entity)
    except PgpipeError:  # the plan will say it of this entity alone
        return Held()
    return Held(choose_mode(facts, context.entity(entity))[0], facts.ledger)
