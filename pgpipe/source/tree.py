"""A lake as a tree: for a reader who asks what pgpipe takes for a date, and what for an entity."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from pgpipe.source.layout import EntityFiles, Lake

SHOWN = 20  # entities; of more, how many there are


def draw(lake: Lake, listed: Sequence[EntityFiles]) -> Iterator[str]:
    """The lines of a tree: the source, the folders of these entities, and what is left out.

    Args:
        lake: the lake.
        listed: entities of it, each of a date.
    """
    yield f"{lake.source.url}/: {_span(lake, '')}"
    lines = sorted(path for files in listed for path in _paths(lake, files))
    if len(lines) > SHOWN:
        lines = [*lines[:SHOWN], f"({len(lines) - SHOWN:,} more)"]
    yield from _branches([line.split("/") for line in lines], "")
    for name in lake.left_out[:SHOWN]:
        yield f"{name}/: left out, neither a date nor an entity"


def _paths(lake: Lake, files: EntityFiles) -> Iterator[str]:
    span = f", {_span(lake, files.entity)}" if lake.by_entity else ""
    for path, _ in files.folders:
        count = sum(file.path.startswith(f"{path}/") for file in files.files)
        yield f"{path}\0{files.entity} of {files.date}, {count:,} file{'s' * (count != 1)}{span}"


def _span(lake: Lake, entity: str) -> str:
    dates = lake.dates(entity)
    return f"{len(dates):,} date{'s' * (len(dates) != 1)}, {dates[0]} to {dates[-1]}"


def _branches(paths: Sequence[Sequence[str]], indent: str) -> Iterator[str]:
    """Paths that begin alike share their beginning."""
    groups = [(head, [path[1:] for path in same]) for head, same in groupby(paths, lambda path: path[0])]
    for number, (head, below) in enumerate(groups):
        last = number == len(groups) - 1
        name, is_end, what = head.partition("\0")
        deeper = [path for path in below if path]
        yield f"{indent}{'└── ' if last else '├── '}{name}{f'/: {what}' if is_end else '/' * bool(deeper)}"
        yield from _branches(deeper, indent + ("    " if last else "│   "))
