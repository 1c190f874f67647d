"""What a load will do, decided without a database: from files, footers, what was read of the target, and settings."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from pgpipe.errors import DataError, PgpipeError, UsageError
from pgpipe.load.kinds import Kind
from pgpipe.load.ledger import Entry, Ledger
from pgpipe.load.plan.decide import decide
from pgpipe.load.plan.facts import Details, Facts, TargetColumn
from pgpipe.load.plan.outline import Consent, Plan, outline
from pgpipe.load.plan.parts import Part
from pgpipe.settings.entity import EntitySettings
from pgpipe.source import File
from pgpipe.source.layout import EntityFiles
from pgpipe.target import Target

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MONDAY, TUESDAY = date(2026, 11, 23), date(2026, 11, 24)
TABLE = Target(7, "public", "product")
SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string())])
NO_DETAILS = Details()


def file(day: date, name: str = "a", content: int = 1) -> File:
    """A file as it was listed; `content` tells its bytes from others."""
    path = f"{day}/product/{name}.parquet"
    return File(path, f"s3://lake/{path}", f"{content:031x}b", 10, NOW)


def listed(*files: File, day: date = TUESDAY, **what: Any) -> EntityFiles:
    """The files of the entity on a date."""
    return EntityFiles("product", day, files, **what)


def held(*files: File, day: date = MONDAY) -> Ledger:
    """A ledger that has these files."""
    return Ledger(Entry(f.uri, f.identity, f.bytes, day, NOW) for f in files)


def column(name: str, kind: str, **what: bool) -> TargetColumn:
    """A column of the target."""
    return TargetColumn(name, Kind(kind, kind), **what)


THERE = Facts(
    "public", TABLE, (column("id", "bigint", required=True), column("name", "text")), primary_key=("id",), ours=True
)


def planned(
    files: EntityFiles,
    facts: Facts,
    details: Details = NO_DETAILS,
    schema: pa.Schema = SCHEMA,
    rows: int = 5,
    consent: Consent = Consent(),  # noqa: B008 - frozen
    **settings: Any,
) -> Plan:
    """The whole way: outline, footers that all say the same, decision."""
    chosen = EntitySettings(**settings)
    plan = outline(files, facts, chosen, consent)
    parts = [Part(each, schema, (rows,), (rows * 10,)) for each in plan.reads]
    return plan if plan.action in {"nothing", "recognise"} else decide(plan, parts, facts, details, chosen)


def test_create() -> None:
    """Without a table every file is read, and the columns are the files'; the key is that of the settings."""
    files = (file(TUESDAY, "a"), file(TUESDAY, "b", 2))

    plan = planned(listed(*files), Facts("public"), key=["id"])

    assert (plan.action, plan.target, plan.mode, plan.key, plan.reads, plan.rows) == (
        "create", None, "upsert", ("id",), files, 10,
    )  # fmt: skip
    assert [(c.name, c.sql) for c in plan.columns] == [("id", "bigint"), ("name", "text")]
    assert planned(listed(*files), Facts("public")).mode == "append"


def test_merge() -> None:
    """The target's primary key counts; only new files are read; what differs in shape is widened, added, or left."""
    old, new = file(TUESDAY, "old"), file(TUESDAY, "new", 2)
    facts = replace(THERE, columns=(*THERE.columns, column("extra", "text")), ledger=held(old, day=TUESDAY))
    wider = pa.schema([("id", pa.int64()), ("name", pa.string()), ("price", pa.float64())])

    plan = planned(listed(old, new), facts, schema=wider)

    assert (plan.action, plan.mode, plan.key, plan.target) == ("merge", "upsert", ("id",), TABLE)
    assert (plan.reads, plan.skipped) == ((new,), (old,))
    assert [c.name for c in plan.evolution.add] == ["price"]
    assert plan.absent == ("extra",)


def test_append() -> None:
    """Without a key rows are added; another date follows only if the user wrote `append`."""
    facts = replace(THERE, primary_key=())

    assert planned(listed(file(TUESDAY)), facts).action == "append"
    assert not planned(listed(file(TUESDAY)), facts).repeatable
    assert planned(listed(file(TUESDAY)), facts, mode="append").repeatable
    facts = replace(facts, ledger=held(file(MONDAY)))
    with pytest.raises(DataError, match="without a key 2026-11-24 would be added to the rows of 2026-11-23"):
        planned(listed(file(TUESDAY)), facts)
    assert planned(listed(file(TUESDAY)), facts, mode="append").action == "append"


def test_nothing() -> None:
    """Files that the ledger holds are not read again; a changed one is."""
    facts = replace(THERE, ledger=held(file(TUESDAY), day=TUESDAY))

    plan = planned(listed(file(TUESDAY)), facts)

    assert (plan.action, plan.reads, plan.skipped) == ("nothing", (), (file(TUESDAY),))
    assert planned(listed(file(TUESDAY, content=2)), facts).action == "merge"


def test_recognise() -> None:
    """The bytes of the snapshot before are recognised, unless the address itself is a column."""
    facts = replace(THERE, ledger=held(file(MONDAY)))

    assert planned(listed(file(TUESDAY)), facts, mode="snapshot").action == "recognise"
    assert planned(listed(file(TUESDAY)), facts, mode="snapshot", path_column="path").action == "merge"
    assert planned(listed(file(TUESDAY, content=2)), facts, mode="snapshot").action == "merge"
    assert planned(listed(file(TUESDAY)), facts).action == "merge"  # an upsert of another address


def test_a_snapshot_is_whole() -> None:
    """Files in the ledger are read too: what is missing in a snapshot will be deleted."""
    old, new = file(TUESDAY, "old"), file(TUESDAY, "new", 2)
    facts = replace(THERE, ledger=held(old, day=TUESDAY))

    plan = planned(listed(old, new), facts, mode="snapshot")

    assert (plan.action, plan.reads, plan.skipped) == ("merge", (old, new), ())


def test_an_older_snapshot_of_a_range_has_nothing_to_do() -> None:
    """The later one is in the target; outside of a range an older date is refused, unless it is accepted."""
    facts = replace(THERE, ledger=held(file(TUESDAY), day=TUESDAY))
    older = listed(file(MONDAY, content=2), day=MONDAY)

    plan = planned(older, facts, mode="snapshot", consent=Consent(until=TUESDAY))

    assert (plan.action, plan.superseded) == ("nothing", "nothing: the snapshot of 2026-11-24 is in the target")
    with pytest.raises(DataError, match="2026-11-24 is in the target, and 2026-11-23 is older"):
        planned(older, facts, mode="snapshot")
    assert planned(older, facts, consent=Consent(accept=frozenset({"older"}))).action == "merge"


def test_an_empty_snapshot() -> None:
    """A folder without files deletes all rows only if that is accepted; any other empty folder is an error."""
    some, accepted = Details(has_rows=True), Consent(accept=frozenset({"max_deleted"}))

    plan = planned(listed(), THERE, some, consent=accepted, mode="snapshot")

    assert (plan.action, plan.reads, [c.name for c in plan.columns]) == ("merge", (), ["id"])
    for details, consent, line in (
        (some, Consent(), "the folder of 2026-11-24 holds no Parquet file, and as a snapshot it would delete all rows"),
        (NO_DETAILS, accepted, "the folder of 2026-11-24 holds no Parquet file"),
    ):
        with pytest.raises(DataError, match=line):
            planned(listed(), THERE, details, consent=consent, mode="snapshot")
    with pytest.raises(DataError, match=r"holds no Parquet file; .*x\.csv"):
        planned(listed(ignored=("x.csv",)), THERE, some, consent=accepted, mode="snapshot")
    with pytest.raises(DataError, match="the files of 2026-11-24 hold no row, and as a snapshot it would delete"):
        planned(listed(file(TUESDAY)), THERE, some, rows=0, mode="snapshot")


def test_declared_types() -> None:
    """A column gets the type that the settings declare, as the database knows it; an unknown one is named."""
    known = {"name": Kind("jsonb", "jsonb")}

    plan = planned(listed(file(TUESDAY)), Facts("public"), Details(types=known), types={"name": "jsonb"})

    assert [(c.name, c.sql) for c in plan.columns] == [("id", "bigint"), ("name", "jsonb")]
    assert plan.converted == ("name text as jsonb",)
    with pytest.raises(UsageError, match=r"entity\.product\.types\.name: the type 'nonsense' does not exist"):
        planned(listed(file(TUESDAY)), Facts("public"), Details(types={"name": None}), types={"name": "nonsense"})


FEWER = pa.schema([("name", pa.string())])
OTHER = pa.schema([("id", pa.bool_()), ("name", pa.string())])
ROW = pa.schema([("pgpipe_row", pa.int64())])


@pytest.mark.parametrize(
    ("files", "facts", "settings", "schema", "line"),
    [
        (listed(problem="it is a Delta table"), THERE, {}, SCHEMA, "product: it is a Delta table"),
        (listed(file(TUESDAY)), replace(THERE, ours=False), {}, SCHEMA, "pgpipe did not make the table public.product"),
        (listed(file(TUESDAY)), THERE, {"key": ["sku"]}, SCHEMA, "the key column 'sku' is not in the files"),
        (listed(file(TUESDAY)), Facts("public"), {"mode": "upsert"}, SCHEMA, "mode upsert needs a key"),
        (listed(file(TUESDAY)), THERE, {}, OTHER, "'id' is boolean in the files but bigint in the target"),
        (listed(file(TUESDAY)), THERE, {"key": ["name"]}, FEWER, "'id' is NOT NULL in the target and not in the files"),
        (listed(file(TUESDAY)), THERE, {"contract": "freeze"}, SCHEMA.append(pa.field("x", pa.int64())), "frozen"),
        (listed(file(TUESDAY)), Facts("public"), {}, ROW, "the column name 'pgpipe_row' is taken"),
        (listed(file(TUESDAY)), THERE, {"bad_values": {"x": "null"}}, SCHEMA, "the files have no column 'x'"),
    ],
)  # fmt: skip
def test_refusals(files: EntityFiles, facts: Facts, settings: dict[str, Any], schema: pa.Schema, line: str) -> None:
    """Before the first row is read; the message names what does not fit."""
    with pytest.raises(PgpipeError) as caught:
        planned(files, facts, schema=schema, **settings)
    assert line in str(caught.value)


def test_what_the_rows_of_the_target_refuse() -> None:
    """What was read of them is raised for a merge, after what the files themselves refuse."""
    twice = Details(not_unique=DataError("product is not unique by the key (id)"))

    with pytest.raises(DataError, match="not unique by the key"):
        planned(listed(file(TUESDAY)), THERE, twice)
    with pytest.raises(DataError, match="'id' is boolean in the files"):
        planned(listed(file(TUESDAY)), THERE, twice, schema=OTHER)


def test_a_named_table_is_loaded_into() -> None:
    """One that pgpipe did not make, if the user names it."""
    plan = planned(listed(file(TUESDAY)), replace(THERE, ours=False), consent=Consent(named=True))

    assert plan.action == "merge"
