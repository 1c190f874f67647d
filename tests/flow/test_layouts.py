"""Lakes that are laid out as Spark, Hive and Glue lay them out, loaded."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Lake
from tests.flow.support import counts, fails, load, rows

KEYED = '[entity.product]\nkey = ["id"]\nmode = "snapshot"\n[entity.review]\nkey = ["id"]\n'


def put(lake: Lake, path: str, *ids: int) -> None:
    """A file of rows."""
    file = lake.path / path / "part-0.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": list(ids), "name": [f"no {n}" for n in ids]}), file)


def test_entity_first_is_loaded(database: Database, cli: Cli, lake: Lake) -> None:
    """Issue 13: `product/dt=2026-11-20/` is a lake; each entity is loaded of its own newest date, as `plan` says."""
    (lake.path.parent / "pgpipe.toml").write_text(KEYED)
    put(lake, "product/dt=2026-11-20", 1, 2)
    put(lake, "product/dt=2026-11-21/region=eu", 1, 3)
    put(lake, "review/dt=2026-11-20", 1)

    plans = json.loads(cli("plan", "--source", lake.url, "--json").out)
    tree = cli("plan", "--source", lake.url).out.splitlines()
    first = load(cli, lake.url, "--date", "2026-11-20")
    second = load(cli, lake.url)

    found = [(plan["entity"], plan["date"], plan["rows"]) for plan in plans]
    assert found == [("review", "2026-11-20", 1), ("product", "2026-11-21", 2)]
    assert tree[:5] == [
        f"{lake.url}/: 2 dates, 2026-11-20 to 2026-11-21",
        "├── product/",
        "│   └── dt=2026-11-21/: product of 2026-11-21, 1 file, 2 dates, 2026-11-20 to 2026-11-21",
        "└── review/",
        "    └── dt=2026-11-20/: review of 2026-11-20, 1 file, 1 date, 2026-11-20 to 2026-11-20",
    ]
    assert [counts(first[e, "import"])[0] for e in ("product", "review")] == [2, 1]
    assert counts(second["product", "import"]) == (1, 0, 1, 1)  # the row that stays is filled
    assert second["review", "import"]["state"] == "nothing to do"
    assert rows(database, "select id, region from product order by id") == [(1, "eu"), (3, "eu")]


def test_a_range_of_an_entity_first_lake(database: Database, cli: Cli, lake: Lake) -> None:
    """Each date of a range brings the entities that have it, complete ones only; `plan` and `load` name the same."""
    (lake.path.parent / "pgpipe.toml").write_text(KEYED)
    for path in ("product/dt=2026-11-20", "product/dt=2026-11-21", "review/dt=2026-11-21", "review/dt=2026-11-22"):
        put(lake, path, 1, int(path[-2:]))
        (lake.path / path / "_SUCCESS").touch()
    (lake.path / "review/dt=2026-11-21/_SUCCESS").unlink()
    expected = [("product", "2026-11-20"), ("product", "2026-11-21"), ("review", "2026-11-22")]
    options = ("--source", lake.url, "--date", "2026-11-01..", "--json", "--skip-embeddings")
    with (lake.path.parent / "pgpipe.toml").open("a") as file:
        file.write('[source]\ncomplete = "_SUCCESS"\n')

    plans = json.loads(cli("plan", *options).out)
    reports = json.loads(cli("load", *options).out)["dates"]

    assert [(plan["entity"], plan["date"]) for plan in plans] == expected
    done = [(s["entity"], report["date"]) for report in reports for s in report["stages"] if s["stage"] == "import"]
    assert done == expected
    assert rows(database, "select array(select id from product), array(select id from review)") == [([1, 21], [1, 22])]


@pytest.mark.parametrize("form", ["region={}/{}/product", "{1}/region={0}/product", "product/region={}/dt={}"])
def test_folders_between_become_columns(database: Database, cli: Cli, lake: Lake, form: str) -> None:
    """Wherever a folder such as region=eu/ lies, its value is a column, unless `partitions` leaves it out."""
    (lake.path.parent / "pgpipe.toml").write_text(KEYED)
    put(lake, form.format("eu", "2026-11-20"), 1)
    put(lake, form.format("north%20america", "2026-11-20"), 2)

    load(cli, lake.url)

    assert rows(database, "select id, region from product order by id") == [(1, "eu"), (2, "north america")]


def test_a_layout_is_set(database: Database, cli: Cli, lake: Lake) -> None:
    """`source.layout` says what is not found by itself; one that does not fit is refused in one line."""
    put(lake, "warehouse/shop.db/product/eu/d20261120", 1)
    (lake.path.parent / "pgpipe.toml").write_text(
        f'[source]\nlayout = "warehouse/*/{{entity}}/{{region}}/d{{date}}"\n{KEYED}'
    )

    assert load(cli, lake.url)["product", "import"]["inserted"] == 1
    assert rows(database, "select id, region from product") == [(1, "eu")]
    (lake.path.parent / "pgpipe.toml").write_text('[source]\nlayout = "{date}/{entity}"\n')
    said = "has no folder such as 2026-11-22/product/, but for example warehouse/shop.db/product/eu/d20261120/"
    fails(cli("load", "--source", lake.url), 3, "source.layout = '{date}/{entity}' does not fit", said)
