"""Contracts: a frozen one, columns that must be filled, and what a plan says of differences."""

import json

import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake
from tests.fixtures.examples import in_turn
from tests.flow.support import fails, load, rows
from tests.flow.test_contracts import DIFFERENCES
from tests.flow.test_evolution import kinds


@pytest.mark.parametrize(("case", "mode"), in_turn([(case,) for case in DIFFERENCES], ["append", "upsert", "snapshot"]))
def test_a_frozen_contract_refuses_every_difference(
    cli: Cli,
    lake: Lake,
    database: Database,
    configure: Configure,
    mode: str,
    case: str,
) -> None:
    """By name, in plan and load alike; the same columns load, also without one that has a default."""
    plain = {"id": [1, 2], "name": ["a", "b"], "size": pa.array([1, 2], pa.int32())}
    configure(key=["id"], mode=mode, contract="freeze", max_deleted=1.0)
    lake.put("2026-01-01", "product", pa.table(plain))
    load(cli, lake.url)
    with database.connect(autocommit=True) as conn:
        conn.execute("alter table product add column note text default 'none'")
        if mode == "append":
            conn.execute("alter table product drop constraint product_pkey")
    before = kinds(database, "product")
    changes, message = DIFFERENCES[case]
    changed = {name: column for name, column in (plain | changes).items() if column is not None}
    lake.put("2026-01-02", "product", pa.table(changed))

    fails(cli("plan", "--source", lake.url, "--json"), 1, f"the contract is frozen: {message}")
    fails(cli("load", "--source", lake.url, "--json"), 1, f"product: the contract is frozen: {message}")

    assert kinds(database, "product") == before
    lake.put("2026-01-03", "product", pa.table(plain | {"id": [3, 4]}))
    assert load(cli, lake.url, "--date", "2026-01-03")["product", "import"]["inserted"] == 2


MODES = {
    "append": ("--mode", "append"),
    "upsert": ("--mode", "upsert", "--key", "a"),
    "snapshot": ("--mode", "snapshot", "--key", "a", "--accept", "max_deleted"),
}


@pytest.mark.parametrize("mode", MODES)
def test_a_column_that_must_be_filled_is_missed_before_the_first_byte(
    mode: str, cli: Cli, lake: Lake, database: Database
) -> None:
    """Files without a column that is NOT NULL are refused by its name: all of them, or one beside others with it."""
    keyless = lake.put("2026-01-01", "log", pa.table({"b": [1]}), "0.parquet")
    lake.put("2026-01-01", "log", pa.table({"a": [1], "b": [1], "c": [1]}))
    if mode != "append":
        for command in ("plan", "load"):
            fails(
                cli(command, "--source", lake.url, *MODES[mode]),
                1,
                f"log: the key column 'a' is not in file://{keyless}",
            )
    keyless.unlink()
    load(cli, lake.url, *MODES[mode])
    with database.connect(autocommit=True) as conn:
        conn.execute("alter table log alter b set not null, alter c set not null, alter c set default 7")
    lake.put("2026-01-02", "log", pa.table({"a": [2]}), "d.parquet")
    command = ("load", "--source", lake.url, "--json", *MODES[mode])

    fails(cli(*command), 1, "log: 'b' is NOT NULL in the target and not in the files")
    lake.put("2026-01-02", "log", pa.table({"a": [3], "b": [3], "c": [3]}), "e.parquet")
    fails(cli(*command), 1, "log: 'b' is NOT NULL in the target and not in file:", "d.parquet; 'c' is NOT NULL")
    assert rows(database, "select a, b, c from log") == [(1, 1, 1)]
    assert rows(database, "select count(*) from pgpipe.load") == [(1,)]
    (lake.path / "2026-01-02" / "log" / "d.parquet").unlink()
    lake.put("2026-01-02", "log", pa.table({"a": [3], "b": [3]}), "e.parquet")
    load(cli, lake.url, *MODES[mode])
    assert (3, 3, 7) in rows(database, "select a, b, c from log")


def test_a_plan_tells_every_difference(cli: Cli, lake: Lake, configure: Configure) -> None:
    """Files and rows to come, what is in the ledger, new, widened, converted and missing columns, policies."""
    configure(key=["id"], bad_values={"name": "strip"})
    first = pa.table({"id": [1], "name": ["a"], "size": pa.array([1], pa.int32()), "price": [1.5], "gone": [1]})
    lake.put("2026-01-01", "product", first, "a.parquet")
    load(cli, lake.url)
    second = pa.table(
        {"id": pa.array([2, 3], pa.int32()), "name": ["b", "c"], "size": [1, 2], "price": [1.5, 2], "extra": [1, 2]}
    )
    file = lake.put("2026-01-01", "product", second, "b.parquet", row_group_size=1)

    plan = json.loads(cli("plan", "--source", lake.url, "--json").out)[0]

    assert plan == {
        "entity": "product",
        "date": "2026-01-01",
        "files": 2,
        "bytes": file.stat().st_size + file.with_name("a.parquet").stat().st_size,
        "action": "merge",
        "mode": "upsert",
        "key": ["id"],
        "rows": 2,
        "row_groups": 2,
        "files_in_ledger": 1,
        "new_columns": {"extra": "bigint"},
        "widened": {"size": "bigint"},
        "converted": ["id integer as bigint"],
        "absent": ["gone"],
        "bad_values": {"name": "strip"},
        "search": [],
        "embed": {"columns": [], "model": None},
    }
