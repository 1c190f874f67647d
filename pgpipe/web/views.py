"""How values are written on the page: passages with marks, ages, plots. Pure functions that templates call."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pgpipe.searching import passage as passages
from pgpipe.web.plots import Bar, bars, short
from pgpipe.web.queries import Entity, Row

SHOWN = 400  # characters of a passage, and of a value of a row
FOLDER = Path(__file__).parent
UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def environment() -> Environment:
    """Templates: everything is escaped, and an unknown name is an error."""
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "pieces": pieces, "number": number, "age": age, "span": span, "when": when, "cut": cut, "percent": percent,
    }  # fmt: skip
    made.globals |= {"load_plot": load_plot, "embedding_plot": embedding_plot, "short": short}
    return made


def pieces(passage: str | None) -> list[tuple[str, bool]]:
    """A passage in pieces of text and whether each is a word of the question, up to as many characters as shown."""
    out: list[tuple[str, bool]] = []
    left = SHOWN
    for piece, marked in passages.pieces(" ".join((passage or "").split())):
        if left > 0:
            out.append((cut(piece, left), marked))
            left -= len(piece)
    return out


def cut(value: object, most: int = SHOWN) -> str:
    """A value as text, shortened."""
    text = str(value)
    return text if len(text) <= most else text[:most].rstrip() + " …"


def number(value: float | None) -> str:
    """With thousands apart; a dash where there is none."""
    return "—" if value is None else f"{value:,}"


def percent(share: float | None) -> str:
    """A share of 1; only what is whole is shown as 100 %, and only what is nothing as 0 %."""
    if share is None:
        return "—"
    return "100 %" if share == 1 else "0 %" if share == 0 else f"{min(max(share * 100, 0.1), 99.9):.1f} %"


def span(seconds: float | None) -> str:
    """A length of time in one unit: 0.4 s, 12 s, 3 min, 5 h, 2 d."""
    if seconds is None:
        return "—"
    if seconds < 10:  # noqa: PLR2004 - one digit and its tenth
        return f"{seconds:.1f} s"
    size, unit = next((s, u) for s, u in UNITS if seconds >= s)
    return f"{seconds / size:.0f} {unit}"


def age(moment: datetime | None) -> str:
    """How long ago."""
    return "never" if moment is None else f"{span(max((datetime.now(UTC) - moment).total_seconds(), 0))} ago"


def when(moment: datetime | None) -> str:
    """A moment, in UTC to the minute."""
    return "—" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def load_plot(entity: Entity) -> str:
    """Rows per second of the last loads, oldest first; failed ones marked."""
    loads = [load for load in reversed(entity.loads) if load["finished_at"]]
    drawn = [Bar(_rate(load), _told(load), "bar" if load["state"] == "done" else "bar failed") for load in loads]
    ends = [when(load["finished_at"])[:10] for load in loads] or ["", ""]
    return bars(drawn, "Rows read per second, by load", ends[0] if len(ends) > 1 else "", ends[-1])


def _rate(load: Row) -> float:
    return float(load["read"] / max(load["seconds"], 0.001))


def _told(load: Row) -> str:
    return f"{load['date']}: {load['read']:,} rows in {span(load['seconds'])}, {load['state']}"


def embedding_plot(embedding: Row) -> str:
    """Rows embedded per minute over the last hours."""
    points = embedding["throughput"]
    drawn = [Bar(p["jobs"] / 5, f"{_clock(p['at'])}: {p['jobs']:,} in five minutes") for p in points]
    ends = [_clock(p["at"]) for p in points] or ["", ""]
    return bars(drawn, "Rows embedded per minute", ends[0], ends[-1])


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M}"


def as_json(entity: Entity) -> dict[str, Any]:
    """An entity for /api/status: without the series that /api/throughput has."""
    embeddings = [{k: v for k, v in e.items() if k != "throughput"} for e in entity.embeddings]
    return {
        "entity": entity.name,
        "rows": entity.rows,
        "search": entity.search,
        "embeddings": embeddings,
        "last_load": entity.loads[0] if entity.loads else None,
    }
