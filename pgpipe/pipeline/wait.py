"""Waiting for a date: until it is there and complete, or the time is up. No connection is held meanwhile."""

import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from pgpipe.errors import SourceError, UsageError
from pgpipe.load.rhythm import is_next_due, read_newest
from pgpipe.pipeline.context import Context, require_schema
from pgpipe.source.layout import Lake

FIRST, LONGEST = 1.0, 60.0  # seconds between two looks: the gap doubles


def wait(context: Context, wanted: str, entities: Sequence[str], limit: timedelta) -> str:
    """Look at the source until nothing is to be waited for.

    Args:
        context: of the run.
        wanted: `new`, `latest` or a date as YYYY-MM-DD.
        entities: those that are named; by default all.
        limit: how long.

    Returns:
        What was waited for in vain; empty if nothing.

    Raises:
        UsageError: a range is not waited for.
    """
    if ".." in wanted:
        raise UsageError("--wait is for `new`, `latest` or one date, not for a range")
    end, pause, said = time.monotonic() + limit.total_seconds(), FIRST, ""
    until = (datetime.now().astimezone() + limit).strftime("%H:%M:%S")
    expected = _expected(context, entities)
    while missing := _missing(context, wanted, expected):
        left = end - time.monotonic()
        if left <= 0:
            return f"waited for {limit} in vain: {missing}"
        if missing != said:
            context.tell(f"waiting until {until}: {missing}")
            said = missing
        time.sleep(min(pause, left))
        pause = min(pause * 2, LONGEST)
        context.forget_lake()
    return ""


def _missing(context: Context, wanted: str, expected: dict[str, date]) -> str:
    """What the source lacks now."""
    lake, gate = context.lake, context.settings.source.complete
    try:
        days = [day for day in lake.dates() if day <= datetime.now(UTC).date() + timedelta(days=1)]
    except SourceError as exc:  # also while the source is still without a date
        return str(exc)
    named = None if wanted in {"new", "latest"} else date.fromisoformat(wanted)
    if named and named not in days:
        return f"{lake.source.url} has no folder for {named}"
    for day in [named] if named else days[-1:]:
        if not _is_complete(lake, day, gate):
            return f"{day} is not complete: source.complete is {gate!r}"
    for entity, newest in sorted(expected.items()) if not named else ():
        if max(lake.dates(entity) or [newest]) <= newest:
            return f"no date of {entity} after {newest} is there, and the next one is due"
    return ""


def _is_complete(lake: Lake, day: date, gate: str) -> bool:
    names = lake.entity_names(day) if lake.by_entity else [""]
    return all(lake.is_complete(day, gate, name) for name in names)


def _expected(context: Context, entities: Sequence[str]) -> dict[str, date]:
    """Entities whose next date may come any time now, with the newest one that was loaded."""
    with context.database.connect(autocommit=True) as conn:
        require_schema(conn, context.database.schema)
        found = read_newest(conn)
    return {
        each.entity: date.fromisoformat(each.date)
        for each in found
        if each.schema == context.database.schema
        and (not entities or each.entity in entities)
        and is_next_due(each.age, context.entity(each.entity).rhythm or each.usual)
    }
