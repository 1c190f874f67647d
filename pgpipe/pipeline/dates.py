"""Which dates a run takes, and which entities of each. What `plan` shows and what `load` does begin here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial

from pgpipe.db import Connection, retry
from pgpipe.errors import Unreachable
from pgpipe.load.dates import Held, Wanted, due
from pgpipe.load.ledger import Ledger
from pgpipe.pipeline.context import Context, require_home, require_schema, select_entities, select_of_date
from pgpipe.pipeline.linked import bound_together
from pgpipe.pipeline.look import Look, behind, look, note
from pgpipe.schema import is_migrated
from pgpipe.source.dates import choose_dates, none_complete
from pgpipe.source.layout import EntityFiles

NEW = "new"


@dataclass(frozen=True)
class Visit:
    """A date of a run."""

    day: date
    list_entities: Callable[[], list[EntityFiles]]
    late: frozenset[str] = frozenset()  # entities that passed this date already
    until: date | None = None  # the last of a range


def choose_visits(
    context: Context, wanted: str, entities: Sequence[str], since: date | None = None, *, early: bool = False
) -> list[Visit]:
    """The dates that a run takes, oldest first.

    Args:
        context: of the run.
        wanted: `new`, `latest`, YYYY-MM-DD or FIRST..LAST.
        entities: those that are named; by default all.
        since: of what was never loaded, with `new`: from this date on, not the newest alone.
        early: the database may be one that was never migrated.

    Raises:
        UsageError: an entity that the date does not have.
        SourceError: no such date is complete.
    """
    context.named = frozenset(entities)
    if wanted == NEW:
        context.lake.dates()  # a wrong source is said whether there is a database or not
        asked = Wanted(since, context.settings.source.lookback)
        work = partial(_due_visits, context=context, asked=asked, entities=entities, early=early)
        return _connected(context, work)
    if ".." not in wanted:
        listed = select_entities(context, wanted, entities)
        return [Visit(max(files.date for files in listed), lambda: listed)]
    days = choose_dates(context.lake, wanted, context.settings.source.complete)
    # A range may be long: each date is listed when its turn comes.
    return [Visit(day, partial(select_of_date, context, day, entities), until=days[-1]) for day in days]


def _connected(context: Context, work: Callable[[Connection], list[Visit]]) -> list[Visit]:
    """Do it over a connection, and again if that is lost. A database that cannot be reached at all is said at once."""
    reached = False

    def attempt() -> list[Visit]:
        nonlocal reached
        try:
            conn = context.database.connect(autocommit=True)
        except Unreachable as exc:
            exc.transient = exc.transient and reached
            raise
        reached = True
        with conn:
            return work(conn)

    return retry(attempt, "the choice of dates", context.tell, (Unreachable,))


def _due_visits(
    conn: Connection, context: Context, asked: Wanted, entities: Sequence[str], *, early: bool
) -> list[Visit]:
    """The dates that are new to each entity."""
    migrated = not early or is_migrated(conn)
    (require_schema if migrated else require_home)(conn, context.database.schema)
    known = conn if migrated else None
    seen = look(known, context, asked, entities)
    if not early:
        note(conn, context, seen)
    visits = _new(known, context, asked, seen)
    if known:
        _tell_gaps(known, context, seen, visits)
    return visits


def find_behind(context: Context) -> dict[str, list[date]]:
    """The dates that each entity lacks of which something is loaded.

    Raises:
        SourceError: no date is complete.
    """
    with context.database.connect(autocommit=True) as conn:
        require_schema(conn, context.database.schema)
        seen = look(conn, context, Wanted(), ())
        return {name: days for name, days in behind(conn, seen).items() if days and seen.held[name].newest}


def _tell_gaps(conn: Connection, context: Context, seen: Look, visits: Sequence[Visit]) -> None:
    """Dates that no load will take: newer ones are in the target."""
    taken = {(files.entity, visit.day) for visit in visits for files in visit.list_entities()}
    for name, days in behind(conn, seen).items():
        newest = seen.held[name].newest
        gaps = [str(day) for day in days if newest and day < newest and (name, day) not in taken]
        if gaps:
            context.tell(
                f"{name}: {', '.join(gaps)} in the source, but not loaded, and {newest} is; to load it all the same:"
                f" --entity {name} --date {gaps[0]} --accept older"
            )


def _new(conn: Connection | None, context: Context, wanted: Wanted, seen: Look) -> list[Visit]:
    days = {name: due(seen.dates(name), seen.held[name], wanted) for name in seen.found}
    for group in bound_together(conn, context, list(days)) if conn else ():
        # A row may refer to one that only a date of the other entity has.
        union = set[date]().union(*(days[name] for name in group))
        for name in group:
            days[name] = [day for day in seen.dates(name) if day in days[name] or _follows(seen.held[name], day, union)]
    found: dict[date, list[EntityFiles]] = {}
    late: dict[date, set[str]] = {}
    for name in sorted(days):
        for files in _unloaded(context, name, days[name], seen.held[name].ledger):
            found.setdefault(files.date, []).append(files)
            if seen.held[name].is_late(files.date, wanted):
                late.setdefault(files.date, set()).add(name)
    for files in _incomplete(context, seen):
        found.setdefault(files.date, []).append(files)
    return [_visit(day, found[day], late.get(day, set())) for day in sorted(found)]


def _follows(held: Held, day: date, union: set[date]) -> bool:
    return day in union and held.takes(day)


def _unloaded(context: Context, entity: str, days: list[date], ledger: Ledger) -> list[EntityFiles]:
    """Without the dates whose files are all loaded. The last one stays, so that the report says so."""
    listed = [context.lake.entities(day, [entity])[0] for day in days]
    done = [bool(of_day.files) and all(map(ledger.holds, ledger.judged(of_day).files)) for of_day in listed]
    return [of_day for of_day, held in zip(listed, done, strict=True) if not held or of_day is listed[-1]]


def _incomplete(context: Context, seen: Look) -> list[EntityFiles]:
    """Entities that have dates of their own, of which none is complete."""
    lake, gate = context.lake, context.settings.source.complete
    names = [name for name in seen.waiting if lake.by_entity and name not in seen.found]
    return [none_complete(lake, gate, name) for name in sorted(names)]


def _visit(day: date, listed: list[EntityFiles], late: set[str]) -> Visit:
    return Visit(day, lambda: listed, frozenset(late))
