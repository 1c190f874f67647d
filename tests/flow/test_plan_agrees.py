"""What plan says, load does: over pairs of files and targets of many types, shapes, rules and settings."""

from collections.abc import Iterator
from datetime import date

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings

from pgpipe.db import Database
from pgpipe.errors import GateFailed, PgpipeError
from pgpipe.load.loader import Loader
from pgpipe.load.plan.outline import Consent, Plan
from pgpipe.load.write.run import Counts
from pgpipe.settings.entity import EntitySettings
from pgpipe.settings.source import SourceSettings
from pgpipe.source import open_source
from pgpipe.source.layout import EntityFiles
from pgpipe.source.layout import Lake as Layout
from tests.conftest import Lake
from tests.fixtures.examples import examples
from tests.flow.plan_cases import SETUP, Case, cases, make_target, put_files
from tests.flow.support import rows


class World:
    """A database and a folder of lakes."""

    def __init__(self, database: Database, lake: Lake) -> None:
        self._database = database
        self._lake = lake

    def dates(self, case: Case) -> Iterator[tuple[Loader, EntityFiles]]:
        """Make the target and the files."""
        with self._database.connect(autocommit=True) as conn:
            make_target(conn, case)
        lake = Lake(self._lake.path / case.name)
        put_files(lake, case)
        source = open_source(SourceSettings(url=lake.url))
        for day in sorted(lake.path.iterdir()):
            (files,) = Layout(source).entities(date.fromisoformat(day.name))
            yield Loader(self._database, source, 1), files

    def plan(self, loader: Loader, files: EntityFiles, chosen: EntitySettings) -> Plan | str:
        """The plan, or why there is none."""
        with self._database.connect(autocommit=True) as conn:
            try:
                return loader.plan(conn, files, chosen, Consent(named=True))
            except PgpipeError as exc:
                return str(exc)

    def load(self, loader: Loader, files: EntityFiles, chosen: EntitySettings) -> tuple[Plan, Counts] | PgpipeError:
        """What a load did, or why it did nothing."""
        try:
            return loader.load(files, chosen, lambda *_: None, lambda _: lambda _: None, Consent(named=True))
        except PgpipeError as exc:
            return exc

    def rows(self, case: Case) -> str | None:
        """What the target has, as one text; None if there is no target."""
        with self._database.connect(autocommit=True) as conn:
            row = conn.execute("select to_regclass(%s) is not null", (case.name,)).fetchone()
            if row != (True,):
                return None
            found = conn.execute(f"select string_agg(t::text, ',' order by id) from {case.name} t".encode()).fetchone()
            return found and (found[0] or "")


@pytest.fixture
def world(database: Database, lake: Lake) -> World:
    """With the types that targets have."""
    with database.connect(autocommit=True) as conn:
        conn.execute(SETUP)
    return World(database, lake)


FOUND = Case(  # values that are no labels, in an array of an enum
    {"a": ("mood[]", "not null")},
    "integer",
    [[(pa.int16(), {"a": (pa.list_(pa.bool_()), [[True, None], None])}), (pa.int16(), {})]],
    {"key": ["id"], "bad_values": "reject", "mode": "append"},
)


@example(case=FOUND)
@given(case=cases())
@settings(
    max_examples=examples(8, 400),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_load_does_what_plan_says(world: World, database: Database, case: Case) -> None:
    """A load that is planned succeeds, and its rows have what the files have; one that is refused says the same.

    A gate that asks the rows themselves may refuse a load that is planned; then the target is as it was.
    """
    chosen = EntitySettings(**case.settings)
    for loader, files in world.dates(case):
        before = world.rows(case)
        planned, loaded = world.plan(loader, files, chosen), world.load(loader, files, chosen)
        if isinstance(loaded, GateFailed) and not isinstance(planned, str):
            assert world.rows(case) == before
            continue
        if isinstance(loaded, PgpipeError):
            assert str(loaded) == planned, f"planned as {planned}, but refused: {loaded}"
            return
        plan, counts = loaded
        assert not isinstance(planned, str), f"refused, but loaded: {planned}"
        assert plan.action == planned.action
        assert counts.left_out == 0
        if plan.mode == "snapshot" and plan.columns and not counts.rejected and not chosen.soft_delete:
            expected = {c.name: filled(files, case, c.name) for c in plan.columns}
            names = ", ".join(f'count("{name}")' for name in expected)
            assert rows(database, f"select {names} from {case.name}") == [tuple(expected.values())]


def filled(files: EntityFiles, case: Case, name: str) -> int:
    """How many rows of a date have a value in a column."""
    day = (files.date - date(2026, 1, 1)).days
    total = 0
    renamed = {new: old for old, new in case.settings.get("rename", {}).items()}
    for _, columns in case.days[day]:
        length = max([2, *(len(values) for _, values in columns.values())])
        values = [1] if name == "id" else columns.get(renamed.get(name, name), (None, [None]))[1]
        total += sum(values[n % len(values)] is not None for n in range(length))
    return total
