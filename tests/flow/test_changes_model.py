"""Change files against a model: whatever the dates hold, and in whatever order they come, the last change counts."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgpipe.db import Database
from pgpipe.load.loader import Loader
from pgpipe.load.plan.outline import Consent
from pgpipe.settings.entity import EntitySettings
from pgpipe.settings.source import SourceSettings
from pgpipe.source import open_source
from pgpipe.source.layout import Lake as Layout
from tests.conftest import Lake
from tests.fixtures.examples import examples
from tests.flow.support import rows

SERIAL = count()
FIRST = date(2026, 1, 1)
OLDER = Consent(named=True, accept=frozenset({"older"}))
KEYS: list[tuple[pa.DataType, list[Any]]] = [
    (pa.int64(), [1, 2, 3]),
    (pa.string(), ["a", "A", 'é"']),
    (pa.decimal128(6, 2), [Decimal("1.00"), Decimal("1.10"), Decimal("-2.00")]),
    (pa.timestamp("us", "UTC"), [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]),
]
ORDERS: list[tuple[pa.DataType, list[Any]]] = [  # each with its values in their order
    (pa.int64(), [None, -5, 0, 7, 2**40]),
    (pa.float64(), [None, -math.inf, 0.1, math.inf, math.nan]),
    (pa.decimal128(8, 3), [None, Decimal("-1.000"), Decimal("1.000"), Decimal("1.001")]),
    (pa.timestamp("us", "Europe/Berlin"), [None, *(datetime(2026, 10, 25, hour, tzinfo=UTC) for hour in range(4))]),
    (pa.string(), [None, "", "0/9", "0/A", "00/1", "B", "a", "é"]),
]
Place = tuple[int, ...]  # of a value among those of its column, for each column of `order`
Change = tuple[int, Place, bool]  # which key, its order, whether it is a delete


@dataclass
class Case:
    """A key, columns of order, and files as they come: (day, name, changes)."""

    key: tuple[pa.DataType, list[Any]]
    order: list[tuple[pa.DataType, list[Any]]]
    nights: list[list[tuple[int, str, list[Change]]]]
    name: str = field(default_factory=lambda: f"e{next(SERIAL)}")


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any: nights that bring files of one date, which may be late, or take the place of earlier files."""
    order = draw(st.lists(st.sampled_from(ORDERS), min_size=1, max_size=2))
    places = st.tuples(*(st.integers(0, len(values) - 1) for _, values in order))
    changes = st.lists(st.tuples(st.integers(0, 2), places, st.booleans()), min_size=1, max_size=6)

    def night() -> list[tuple[int, str, list[Change]]]:
        day = draw(st.integers(0, 3))
        names = draw(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=2, unique=True))
        return [(day, name, draw(changes)) for name in names]

    nights = [night() for _ in range(draw(st.integers(2, 5)))]
    return Case(draw(st.sampled_from(KEYS)), order, nights)


class Model:
    """What a target holds: by key its order, and the text of its row or None for a tombstone."""

    def __init__(self) -> None:
        self.held: dict[int, tuple[Place, str | None]] = {}
        self._newest = (-1, "")

    def take(self, day: int, files: list[tuple[str, list[tuple[Change, str]]]]) -> None:
        """A load."""
        last: dict[int, tuple[Place, int, int]] = {}
        for number, (_, changes) in enumerate(files):
            for row, ((key, place, _), _) in enumerate(changes):
                last[key] = max(last.get(key, ((), 0, 0)), (place, number, row))
        for key, (place, number, row) in last.items():
            name, changes = files[number]
            (_, _, is_delete), text = changes[row]
            held = self.held.get(key, ((), None))[0]
            if place > held or (place == held and (day, name) >= self._newest):
                self.held[key] = place, None if is_delete else text
        self._newest = max(self._newest, (day, files[-1][0]))

    @property
    def rows(self) -> dict[int, str]:
        """The rows of the target."""
        return {key: text for key, (_, text) in self.held.items() if text is not None}


def loads(case: Case, lake: Lake) -> Iterator[tuple[int, list[tuple[str, list[tuple[Change, str]]]]]]:
    """Write the files of a night, and say what they hold: changes with their texts."""
    for number, night in enumerate(case.nights):
        files = []
        for day, name, changes in sorted(night):
            texts = [f"{number} {name} {row}" for row in range(len(changes))]
            columns = {
                "id": pa.array([case.key[1][key] for key, _, _ in changes], case.key[0]),
                "text": pa.array(texts),
                "gone": pa.array([is_delete or None for _, _, is_delete in changes], pa.bool_()),
            }
            for column, (kind, values) in enumerate(case.order):
                columns[f"o{column}"] = pa.array([values[place[column]] for _, place, _ in changes], kind)
            when = FIRST + timedelta(days=day)
            lake.put(when.isoformat(), case.name, pa.table(columns), f"{name}.parquet", row_group_size=2)
            files.append((name, list(zip(changes, texts, strict=True))))
        yield night[0][0], files


@given(case=cases())
@settings(
    max_examples=examples(4, 300),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_last_change_counts(database: Database, lake: Lake, case: Case) -> None:
    """Issue 13: late, repeated and replaced files in any order leave the rows that the model has, and all counts."""
    place = Lake(lake.path / case.name)
    place.path.mkdir()
    chosen = EntitySettings(key=["id"], order=[f"o{n}" for n in range(len(case.order))], delete="gone", max_deleted=1.0)
    model, loader = Model(), Loader(database, source := open_source(SourceSettings(url=place.url)), 2)
    for day, files in loads(case, place):
        model.take(day, files)
        when = FIRST + timedelta(days=day)
        (found,) = Layout(source).entities(when)

        plan, done = loader.load(found, chosen, lambda *_: None, lambda _: lambda _: None, OLDER)

        held = dict(rows(database, f"select id, text from {case.name}"))
        assert held == {case.key[1][key]: text for key, text in model.rows.items()}
        assert plan.rows == done.read == sum(len(changes) for _, changes in files)
        assert done.read == done.inserted + done.updated + done.unchanged + done.superseded + done.deletes
    seen = [change for night in case.nights for _, _, changes in night for change in changes]
    if len({(key, order) for key, order, _ in seen}) == len(seen):  # nothing depends on how it came
        last = {key: (order, is_delete) for key, order, is_delete in sorted(seen)}
        assert set(model.rows) == {key for key, (_, is_delete) in last.items() if not is_delete}
