"""A look at the source, newest date first: which entities its dates have. As far back as somebody needs it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from pgpipe.db import Connection, one, translated
from pgpipe.errors import PgpipeError, SourceError, UsageError
from pgpipe.load.dates import Held, Wanted
from pgpipe.load.plan.facts import Facts
from pgpipe.load.plan.outline import choose_mode
from pgpipe.load.plan.target import ledger_at, read_facts
from pgpipe.pipeline.context import Context

RECENT = 31  # dates that are searched for an entity, and for gaps
NOTE = """
    insert into pgpipe.source_date (schema, entity, dates) values (%s, %s, %s)
    on conflict (entity, schema) do update set dates = excluded.dates, seen_at = now()
"""
BEHIND = "select pgpipe_internal.dates_behind(%s::date[], %s::date[], %s, %s)"
LOADED = "select distinct entity from pgpipe.load_file where schema = %s"


@dataclass
class Look:
    """What the source has, as far as it was looked at."""

    held: dict[str, Held] = field(default_factory=dict)  # by entity, as the rest
    found: dict[str, set[date]] = field(default_factory=dict)  # complete dates
    waiting: dict[str, set[date]] = field(default_factory=dict)  # dates that are not complete
    names: list[str] = field(default_factory=list)  # of the newest complete date

    def dates(self, entity: str) -> list[date]:
        """Complete dates of an entity, oldest first."""
        return sorted(self.found.get(entity, ()))


def look(conn: Connection | None, context: Context, wanted: Wanted, named: Sequence[str]) -> Look:
    """Find the dates that an entity may need.

    Args:
        conn: to read the ledger on; None: there is none yet.
        context: of the run.
        wanted: what is asked for.
        named: entities, if not all.

    Raises:
        SourceError: no date is complete, or the newest one holds nothing.
        UsageError: an entity that the source does not have.
    """
    lake, seen = context.lake, Look()
    days = _not_ahead(context)
    known = {*context.settings.entity, *(_loaded(conn, context.database.schema) if conn else ()), *lake.entity_names()}
    seen.held = {name: read_held(conn, context, name) for name in set(named) or known}
    for place, day in enumerate(reversed(days)):
        needed = [name for name in seen.held if _needs(seen, name, day, wanted, is_recent=place < RECENT)]
        if not needed and seen.names:
            continue
        for name in _of_date(context, seen, day, needed):
            if named and name not in named:
                continue
            if name not in seen.held:
                seen.held[name] = read_held(conn, context, name)
            seen.found.setdefault(name, set()).add(day)
    _check_found(context, seen, days[-1], named)
    return seen


def _of_date(context: Context, seen: Look, day: date, needed: Sequence[str]) -> list[str]:
    """The entities whose date is complete; those that are needed alone, if each has dates of its own."""
    lake, gate = context.lake, context.settings.source.complete
    if lake.by_entity:
        has = [name for name in lake.entity_names(day) if name in needed]
        complete = [name for name in has if lake.is_complete(day, gate, name)]
    else:
        is_complete = lake.is_complete(day, gate)
        has = lake.entity_names(day) if is_complete or needed else []
        complete = has if is_complete else []
        if is_complete and not has and not seen.names:
            raise SourceError(f"{lake.source.url}: the folder of {day} has no entity folder in it")
    for name in set(has).difference(complete):
        seen.waiting.setdefault(name, set()).add(day)
    seen.names = seen.names or complete
    return complete


def _needs(seen: Look, entity: str, day: date, wanted: Wanted, *, is_recent: bool) -> bool:
    """Whether a date may be due for an entity, or be a gap."""
    held, found = seen.held[entity], seen.dates(entity)
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


def _not_ahead(context: Context) -> list[date]:
    """Dates, oldest first, without those to come: once loaded, they would make every real date an older one."""
    url, found, tomorrow = context.source.url, context.lake.dates(), datetime.now(UTC).date() + timedelta(days=1)
    days = [day for day in found if day <= tomorrow]
    if not days:
        raise SourceError(f"{url} has only dates to come; the first is {found[0]}")
    if found[-1] > tomorrow:
        context.tell(f"{url}: {found[-1]} is left alone, because it is a date to come; rename its folder")
    return days


def _check_found(context: Context, seen: Look, newest: date, named: Sequence[str]) -> None:
    url, gate = context.source.url, context.settings.source.complete
    if not seen.names:
        raise SourceError(f"{url} has no complete date: source.complete is {gate!r}, and the latest is {newest}")
    what = "any date" if context.lake.by_entity else max(map(max, seen.found.values()), default=newest)
    names = context.lake.entity_names() if context.lake.by_entity else seen.names
    for name in named:
        if name not in seen.found and name not in seen.waiting:
            raise UsageError(f"{url} has no entity {name!r} on {what}; it has {', '.join(names)}")


def note(conn: Connection, context: Context, seen: Look) -> None:
    """Write down what the source has: status and metrics ask the database alone."""
    with translated(), conn.transaction():
        for name in sorted(seen.found):
            conn.execute(NOTE, (context.database.schema, name, seen.dates(name)))


def behind(conn: Connection, seen: Look) -> dict[str, list[date]]:
    """The dates that each entity lacks, as pgpipe.date_status has them."""
    found: dict[str, list[date]] = {}
    for name in sorted(seen.found):
        held = seen.held[name]
        with translated():
            dates = (seen.dates(name), sorted(held.ledger.dates) or None, held.mode, held.ledger.replaced)
            found[name] = one(conn, BEHIND, dates)
    return found


def _loaded(conn: Connection, schema: str) -> list[str]:
    """Entities of which a target holds files."""
    with translated():
        return [name for (name,) in conn.execute(LOADED, (schema,))]


def read_held(conn: Connection | None, context: Context, entity: str) -> Held:
    """What the target of an entity has."""
    if conn is None:
        return Held(context.entity(entity).mode)
    schema, settings = context.database.schema, context.entity(entity)
    try:
        if settings.key:  # then the mode does not depend on the target's columns
            facts = Facts(schema, ledger=ledger_at(conn, schema, entity))
        else:
            facts = read_facts(conn, schema, entity)
    except PgpipeError:  # the plan will say it of this entity alone
        return Held()
    return Held(choose_mode(facts, settings)[0], facts.ledger)
