"""Which dates a run takes, and which entities of each. What `plan` shows and what `load` does begin here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from pgpipe.db import Connection
from pgpipe.load.dates import Held, Wanted, due
from pgpipe.pipeline.context import Context, require_schema, select_entities
from pgpipe.pipeline.linked import bound_together
from pgpipe.pipeline.look import Look, look
from pgpipe.source.layout import EntityFiles, choose_dates

NEW = "new"


@dataclass(frozen=True)
class Visit:
    """A date of a run."""

    day: date
    list_entities: Callable[[], list[EntityFiles]]
    late: frozenset[str] = frozenset()  # entities that passed this date already
    until: date | None = None  # the last of a range


def choose_visits(context: Context, wanted: str, entities: Sequence[str], since: date | None = None) -> list[Visit]:
    """The dates that a run takes, oldest first.

    Args:
        context: of the run.
        wanted: `new`, `latest`, YYYY-MM-DD or FIRST..LAST.
        entities: those that are named; by default all.
        since: of what was never loaded, with `new`: from this date on, not the newest alone.

    Raises:
        UsageError: an entity that the date does not have.
        SourceError: no such date is complete.
    """
    context.named = frozenset(entities)
    if wanted == NEW:
        with context.database.connect(autocommit=True) as conn:
            require_schema(conn, context.database.schema)
            return _new(conn, context, Wanted(since, context.settings.source.lookback), entities)
    if ".." not in wanted:
        day, listed = select_entities(context, wanted, entities)
        return [Visit(day, lambda: listed)]
    days = choose_dates(context.source, wanted, context.settings.source.complete)
    return [Visit(day, _lister(context, day, entities), until=days[-1]) for day in days]


def _lister(context: Context, day: date, entities: Sequence[str]) -> Callable[[], list[EntityFiles]]:
    """A range may be long: each date is listed when its turn comes."""

    def list_entities() -> list[EntityFiles]:
        _, listed = select_entities(context, day.isoformat(), ())
        return [files for files in listed if not entities or files.entity in entities]

    return list_entities


def _new(conn: Connection, context: Context, wanted: Wanted, entities: Sequence[str]) -> list[Visit]:
    seen = look(conn, context, wanted, entities)
    days = {name: due(seen.dates(name), held, wanted) for name, held in seen.held.items() if name in seen.found}
    for group in bound_together(conn, context, list(days)):
        # A row may refer to one that only a date of the other entity has.
        union = set[date]().union(*(days[name] for name in group))
        for name in group:
            days[name] = [day for day in seen.dates(name) if day in days[name] or _follows(seen.held[name], day, union)]
    late = {
        name: [day for day in of_entity if seen.held[name].is_late(day, wanted)] for name, of_entity in days.items()
    }
    days = {name: _unloaded(seen, name, of_entity) for name, of_entity in days.items()}
    return [_visit(seen, day, days, late) for day in sorted(set[date]().union(*days.values()))]


def _follows(held: Held, day: date, union: set[date]) -> bool:
    return day in union and held.takes(day)


def _unloaded(seen: Look, entity: str, days: list[date]) -> list[date]:
    """Without the dates whose files are all loaded. The last one stays, so that the report says so."""
    ledger, of_entity = seen.held[entity].ledger, seen.found[entity]
    done = {day for day in days if of_entity[day].files and all(map(ledger.holds, ledger.judged(of_entity[day]).files))}
    return [day for day in days if day not in done or day == days[-1]]


def _visit(seen: Look, day: date, days: dict[str, list[date]], late: dict[str, list[date]]) -> Visit:
    names = [name for name in sorted(days) if day in days[name]]
    listed = [seen.found[name][day] for name in names]
    return Visit(day, lambda: listed, frozenset(name for name in names if day in late[name]))
