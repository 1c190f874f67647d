"""Plots as SVG, drawn on the server. Colours come from the stylesheet, so they follow light and dark."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT, TOP, BOTTOM = 320, 96, 14, 14
FEWEST = 12  # places for bars


@dataclass(frozen=True)
class Bar:
    """One value of a plot, at least 0; `title` is what the pointer shows, `kind` a class of the stylesheet."""

    value: float
    title: str
    kind: str = "bar"


def bars(values: Sequence[Bar], label: str, first: str, last: str) -> Markup:
    """A bar chart over time.

    Args:
        values: oldest first.
        label: what is plotted, with its unit; read aloud together with the highest value.
        first: text under the left end.
        last: text under the right end.
    """
    top = max((bar.value for bar in values), default=0)
    summary = f"{label}: {len(values)} values, at most {short(top)}"
    room = WIDTH / max(len(values), FEWEST)
    left = WIDTH - room * len(values)  # few values stand at the right end: the newest is always there
    base = HEIGHT - BOTTOM
    drawn = Markup().join(_bar(bar, left + n * room, room, base, top) for n, bar in enumerate(values))
    return Markup(
        '<svg class="plot" viewBox="0 0 {w} {h}" role="img" aria-label="{summary}">'
        '<line class="axis" x1="0" x2="{w}" y1="{base}" y2="{base}"/>{drawn}'
        '<text class="tick" x="0" y="10">{highest}</text>'
        '<text class="tick" x="0" y="{h}">{first}</text>'
        '<text class="tick end" x="{w}" y="{h}">{last}</text></svg>'
    ).format(
        w=WIDTH, h=HEIGHT, base=base, drawn=drawn, summary=summary, highest=f"{short(top)} max", first=first, last=last
    )


def _bar(bar: Bar, x: float, room: float, base: float, top: float) -> Markup:
    height = (base - TOP) * bar.value / top if top > 0 else 0.0
    if bar.value > 0 or bar.kind != "bar":
        height = max(height, 1.5)  # a small value, and a failure without rows, stay visible
    if not height:
        return Markup()
    return Markup(
        '<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"><title>{title}</title></rect>'
    ).format(kind=bar.kind, x=x + room * 0.1, y=base - height, w=room * 0.8, h=height, title=bar.title)


def short(value: float) -> str:
    """A number in at most four characters and a unit: 940, 1.2k, 35k, 7.1M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            scaled = value / size
            return f"{scaled:.1f}{unit}" if scaled < 10 else f"{scaled:.0f}{unit}"  # noqa: PLR2004 - two digits
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"  # noqa: PLR2004 - two digits
