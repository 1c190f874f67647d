"""Options that commands which read the source share."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import click

from pgpipe.cli.app import json_option


def _day(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if value in {"new", "latest"}:
        return value
    first, is_range, last = value.partition("..")
    try:
        days = [date.fromisoformat(day) for day in ((first, last) if is_range else (first,)) if day or not is_range]
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither `new` nor `latest` nor a date as YYYY-MM-DD") from None
    if not days or days != sorted(days):
        raise click.BadParameter(
            f"{value!r} is not a range of dates: write the older one first, 2026-11-01..2026-11-22"
        )
    return value


def _since(_context: click.Context, _option: click.Parameter, value: str | None) -> date | None:
    try:
        return date.fromisoformat(value) if value else None
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a date as YYYY-MM-DD") from None


def _limit(_context: click.Context, _option: click.Parameter, value: str | None) -> timedelta | None:
    if value is None:
        return None
    if not re.fullmatch(r"[1-9]\d{0,5}[smhd]", value):
        raise click.BadParameter(f"{value!r} is not a time such as 4h (s, m, h or d)")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[value[-1]]
    return timedelta(**{unit: int(value[:-1])})


wait_option = click.option(
    "--wait",
    "limit",
    callback=_limit,
    metavar="4h",
    help="Wait so long for a date that is due or not complete; then load what is, and exit with 3.",
)


SOURCE_OPTIONS = (  # from the last in the help to the first
    json_option,
    click.option("--skip-embeddings", is_flag=True, help="Leave embeddings out: declare and compute none."),
    click.option("--skip-search", is_flag=True, help="Leave search columns out."),
    click.option(
        "--jobs",
        type=click.IntRange(1, 64),
        help="Connections to copy over [default: one a core, at most 8]",
    ),
    click.option("--key", help="Columns that identify a row, separated by commas."),
    click.option(
        "--mode",
        type=click.Choice(["append", "upsert", "snapshot"]),
        help="How files come into the target [default: upsert with a key, else append]",
    ),
    click.option(
        "--accept",
        multiple=True,
        type=click.Choice(["max_deleted", "max_changed", "min_rows", "checks", "older"]),
        help="Let pass once what is otherwise refused; may be repeated.",
    ),
    click.option("--entity", "entities", multiple=True, metavar="NAME", help="Only this one; may be repeated."),
    click.option(
        "--date",
        "day",
        default="new",
        show_default=True,
        callback=_day,
        metavar="new|latest|YYYY-MM-DD|FIRST..LAST",
        help="Which dates to load, oldest first: those not loaded yet, the newest one, one, or a range.",
    ),
    click.option(
        "--since",
        callback=_since,
        metavar="YYYY-MM-DD",
        help="With `new`: of entities never loaded, every date from this one on [default: the newest one]",
    ),
    click.option("--source", "url", help="s3://bucket/prefix or file:///path"),
)


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that reads the source."""
    for option in SOURCE_OPTIONS:
        command = option(command)
    return command


def override(mode: str | None, key: str | None) -> dict[str, Any]:
    """Mode and key as the options give them, for every entity."""
    given = {"mode": mode, "key": [name.strip() for name in key.split(",")] if key else None}
    return {name: value for name, value in given.items() if value is not None}


def skipped(search: bool, embeddings: bool) -> frozenset[str]:
    """The components that the options leave out."""
    return frozenset(name for name, given in (("search", search), ("embed", embeddings)) if given)
