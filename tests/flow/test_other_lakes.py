"""Lakes as other tools write them: folders that are columns, part files without extension, table formats."""

import json
from pathlib import Path

import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Lake
from tests.flow.support import counts, fails, load, rows

SNAPSHOT = ("--key", "id", "--mode", "snapshot")


def put_regions(lake: Lake, day: str = "2026-01-01", entity: str = "sale") -> None:
    """One row in each of two regions, as Spark's partitionBy writes them."""
    for n, region in enumerate(("eu", "us")):
        lake.put(day, f"{entity}/region={region}", [{"id": n}])


def test_hive_folders_become_columns_by_default(cli: Cli, lake: Lake, database: Database) -> None:
    """L6: the files lack the column, so leaving it out would lose it; plan and report name the setting."""
    put_regions(lake)
    said = "columns from folders: region (entity.sale.partitions = false leaves them out)"

    assert said in cli("plan", "--source", lake.url).out
    assert said in load(cli, lake.url, "--key", "id")["sale", "import"]["note"]

    assert rows(database, "select id, region from sale order by id") == [(0, "eu"), (1, "us")]


def test_hive_folders_that_are_switched_off(cli: Cli, lake: Lake, database: Database) -> None:
    """L6: no column, and plan and report say so."""
    put_regions(lake)
    Path("pgpipe.toml").write_text("[entity.sale]\npartitions = false\n")
    said = "folders that give no column: region (entity.sale.partitions = true makes them columns)"

    assert said in cli("plan", "--source", lake.url).out
    assert said in load(cli, lake.url, "--key", "id")["sale", "import"]["note"]

    assert rows(database, "select * from sale order by id") == [(0,), (1,)]


def test_a_target_that_was_loaded_without_its_folders(cli: Cli, lake: Lake, database: Database) -> None:
    """L6: gets the column as any new one, filled by the next snapshot."""
    put_regions(lake)
    Path("pgpipe.toml").write_text("[entity.sale]\npartitions = false\n")
    load(cli, lake.url, *SNAPSHOT)
    Path("pgpipe.toml").write_text("")
    put_regions(lake, "2026-01-02")
    lake.put("2026-01-02", "sale/region=us", [{"id": 1}, {"id": 2}])

    stage = load(cli, lake.url, *SNAPSHOT)["sale", "import"]

    assert "new column region" in stage["note"]
    assert rows(database, "select id, region from sale order by id") == [(0, "eu"), (1, "us"), (2, "us")]


def test_a_frozen_target_that_was_loaded_without_its_folders(cli: Cli, lake: Lake) -> None:
    """L6: is refused the column, and the line names the setting that leaves it out."""
    put_regions(lake)
    Path("pgpipe.toml").write_text("[entity.sale]\npartitions = false\n")
    load(cli, lake.url, "--key", "id")
    Path("pgpipe.toml").write_text('[entity.sale]\ncontract = "freeze"\n')
    put_regions(lake, "2026-01-02")

    result = cli("load", "--source", lake.url, "--skip-embeddings", "--json")

    fails(result, 1, "'region' is not in the target (a folder gives it; entity.sale.partitions = false leaves it out)")


def test_a_column_that_the_files_have_themselves(cli: Cli, lake: Lake, database: Database) -> None:
    """L6: is taken from there, as before; the report says so."""
    lake.put("2026-01-01", "sale/region=eu", [{"id": 1, "region": "from the file"}])

    stage = load(cli, lake.url, "--key", "id")["sale", "import"]

    assert "folders whose column the files have themselves: region" in stage["note"]
    assert rows(database, "select region from sale") == [("from the file",)]


def test_the_same_bytes_in_another_folder_are_another_snapshot(cli: Cli, lake: Lake, database: Database) -> None:
    """L6: a copy is recognised only from folders that say the same; nor where the address itself is a column."""
    lake.put("2026-01-01", "sale/region=eu", [{"id": 1}])
    load(cli, lake.url, *SNAPSHOT)
    lake.put("2026-01-02", "sale/region=us", [{"id": 1}])
    assert counts(load(cli, lake.url, *SNAPSHOT)["sale", "import"]) == (0, 1, 0, 0)
    assert rows(database, "select region from sale") == [("us",)]

    lake.put("2026-01-03", "sale/region=us", [{"id": 1}])
    assert "the same bytes" in load(cli, lake.url, *SNAPSHOT)["sale", "import"]["note"]
    Path("pgpipe.toml").write_text('[entity.sale]\npath_column = "source_file"\n')
    lake.put("2026-01-04", "sale/region=us", [{"id": 1}])
    load(cli, lake.url, *SNAPSHOT)
    assert rows(database, "select source_file like '%/2026-01-04/%' from sale") == [(True,)]


def test_part_files_without_extension(cli: Cli, lake: Lake, database: Database) -> None:
    """L7: are loaded; what is ignored is counted and named by plan, report and, if nothing is left, the refusal."""
    for n, name in enumerate(("000000_0", "part-00001", "b.parquet")):
        lake.put("2026-01-01", "sale", [{"id": n}], name)
    for folder in ("sale", "notes"):
        (lake.path / "2026-01-01" / folder).mkdir(exist_ok=True)
        (lake.path / "2026-01-01" / folder / "README.txt").write_text("to be read")
    (lake.path / "2026-01-01" / "sale" / "_SUCCESS").touch()
    said = "1 file ignored, hidden or not Parquet: README.txt"

    plans = {plan["entity"]: plan for plan in json.loads(cli("plan", "--source", lake.url, "--json").out)}
    assert (plans["sale"]["files"], plans["sale"]["notes"]) == (3, [said])
    assert plans["notes"]["refused"] == f"the folder of 2026-01-01 holds no Parquet file; {said}"
    (lake.path / "2026-01-01" / "notes" / "README.txt").unlink()
    (lake.path / "2026-01-01" / "notes").rmdir()
    assert said in load(cli, lake.url, "--key", "id")["sale", "import"]["note"]
    assert said in load(cli, lake.url, "--key", "id")["sale", "import"]["note"]
    assert rows(database, "select id from sale order by id") == [(0,), (1,), (2,)]


@pytest.mark.parametrize("mark", ["_delta_log/00000000000000000000.json", "metadata/v1.metadata.json", ".hoodie/x"])
def test_a_table_format_is_refused(cli: Cli, lake: Lake, database: Database, mark: str) -> None:
    """L32: in one line, whose end says what to do; the other entities are loaded."""
    put_regions(lake)
    lake.put("2026-01-01", "other", [{"id": 1}])
    file = lake.path / "2026-01-01" / "sale" / mark
    file.parent.mkdir(exist_ok=True)
    file.write_text("{}")

    result = cli("load", "--source", lake.url, "--json", "--skip-embeddings", "--key", "id")

    fails(result, 1, f"sale: {lake.url}/2026-01-01/sale is a", "export it as plain Parquet to another folder")
    assert rows(database, "select to_regclass('sale') is null, (select count(*) from other)") == [(True, 1)]
