"""Bounds: the least and the greatest values that footers state of the column that a target is partitioned by."""

from collections.abc import Collection, Iterable, Iterator
from datetime import date, datetime
from typing import Any

import pyarrow.parquet as pq

from pgpipe.db import Connection, one, translated
from pgpipe.load.plan.facts import Facts
from pgpipe.load.plan.parts import Part

WITHOUT_PARTITION = "select pgpipe_internal.without_partition(%s::oid::regclass, %s, %s)"
Extreme = tuple[int, str]  # row group, and a value that a row of it has


def extremes(metadata: pq.FileMetaData, columns: Collection[str]) -> Iterator[Extreme]:
    """Values that the file certainly has: those of texts may be cut, so these are left out."""
    paths = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
    for at in [paths.index(column) for column in columns if column in paths]:
        for number in range(metadata.num_row_groups):
            values = ends(metadata.row_group(number).column(at).statistics)
            yield from ((number, text) for value in values if (text := _exact(value)))


def ends(statistics: Any) -> tuple[object, object]:  # noqa: ANN401 - pyarrow's stubs do not name it
    """The least and the greatest value, or None twice if a footer has none that Python can hold."""
    if statistics is None or not statistics.has_min_max:
        return None, None
    try:
        return statistics.min, statistics.max
    except (ArithmeticError, ValueError):  # a date or a time of a far year
        return None, None


def _exact(value: object) -> str | None:
    if isinstance(value, datetime):  # without a zone it is another moment in each
        return value.isoformat() if value.tzinfo is not None else None
    return str(value) if isinstance(value, int | date) and not isinstance(value, bool) else None


def homeless(conn: Connection, facts: Facts, parts: Iterable[Part]) -> str:
    """Where a file has a value for which the target has no partition; empty if nothing is known of one."""
    places = {value: (part, group) for part in parts for group, value in part.extremes}
    if facts.table is None or not places:
        return ""
    with translated():
        value = one(conn, WITHOUT_PARTITION, (facts.table.oid, facts.partitioned_by, list(places)))
    if value is None:
        return ""
    part, group = places[value]
    return (
        f"{part.file.uri}, row group {group}, column {facts.partitioned_by!r}: {facts.table.qualified} has no partition"
        f' for {value}; create one, or write bad_values = "reject" to load the other rows'
    )
