"""Memory of a load: as docs/loading.md promises, whatever a file holds."""

import json
import os
import subprocess
import sys

import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake
from tests.flow.hostile_files import MAKERS, MIB
from tests.flow.support import fails, rows
from tests.flow.support import load as cli_load

BASE, EACH, JOBS = 250 * MIB, 100 * MIB, 2  # docs/loading.md: of a load, and of each connection
GUARD = 4096 * MIB  # of address space: a load that forgets itself ends, and not the machine
# The load's parent is small: a process begins with what its parent had resident.
LAUNCHER = """
import json, os, resource, sys
if not (pid := os.fork()):
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
    os.execv(sys.executable, [sys.executable, "-m", "pgpipe", *sys.argv[2:]])
_, status, used = os.wait4(pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_maxrss * 1024]))
"""
ORDINARY_SUITE = {"shared_text", "huge_values_among_small_ones"}


def load(url: str, database: Database, *options: str, guard: int = GUARD) -> tuple[int, int, str]:
    """Run `pgpipe load` in a process; its exit code, the bytes that it had resident at most, and what it said."""
    command = ["-q", "load", "--source", url, "--skip-search", "--skip-embeddings", "--jobs", str(JOBS), *options]
    result = subprocess.run(
        [sys.executable, "-c", LAUNCHER, str(guard), *command],
        env=os.environ | {"DATABASE_URL": database.url},
        capture_output=True,
        text=True,
        check=False,
    )
    code, memory = json.loads(result.stdout.splitlines()[-1])
    return code, memory, result.stderr


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ORDINARY_SUITE else pytest.mark.long) for name in MAKERS]
)
def test_memory_is_bounded(lake: Lake, database: Database, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """K12: whatever a small file becomes, the load keeps to its bound, and the other entity is loaded too."""
    monkeypatch.chdir(lake.path)
    lake.put("2026-01-01", "other", pa.table({"id": [1]}))
    folder = lake.path / "2026-01-01/hostile"
    folder.mkdir()
    expected = MAKERS[name](folder / "part.parquet")

    code, memory, said = load(lake.url, database)

    print(f"MEMORY {name} {memory // MIB} MiB")  # noqa: T201 - shown with -rP
    assert rows(database, "select id from other") == [(1,)], said
    if expected:
        assert (code, said) == (0, "")
        assert rows(database, "select count(*) from hostile") == [(expected,)]
    else:
        assert (code, len(said.splitlines())) == (1, 1), said
    assert memory <= BASE + JOBS * EACH, f"{memory // MIB} MiB"


@pytest.mark.long
@pytest.mark.parametrize("size", [64, 250])
def test_a_huge_value_takes_a_few_times_its_size(lake: Lake, database: Database, size: int) -> None:
    """K12: beyond 16 MB, at most four times the value."""
    lake.put("2026-01-01", "hostile", pa.table({"t": ["sixteen bytes ok" * (size * MIB // 16)]}), use_dictionary=False)

    code, memory, said = load(lake.url, database)

    print(f"MEMORY {size} {memory // MIB} MiB")  # noqa: T201 - shown with -rP
    assert (code, said) == (0, "")
    assert rows(database, "select length(t) from hostile") == [(size * MIB,)]
    assert memory <= BASE + JOBS * EACH + 4 * size * MIB, f"{memory // MIB} MiB"


def test_a_value_above_the_limit_is_bad(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """K12, L20: a value larger than max_value_mb is named, or rejected as any bad value; the others are loaded."""
    texts = ["a", "b" * (3 * MIB), None, "c"]
    docs = pa.array([None, None, {"a": ["d" * (3 * MIB)]}, {"a": []}], pa.struct({"a": pa.list_(pa.string())}))
    lake.put("2026-01-01", "product", pa.table({"id": range(4), "t": texts, "doc": docs}))
    configure(key=["id"], max_value_mb=2)
    fails(cli("load", "--source", lake.url), 1, "part-0.parquet, row group 0, row 1, column 't'", "max_value_mb = 2")
    configure(key=["id"], max_value_mb=2, bad_values={"t": "null", "doc": "reject"})

    stage = cli_load(cli, lake.url)["product", "import"]

    assert (stage["inserted"], stage["rejected"], stage["mended"]) == (3, 1, 1)
    assert rows(database, "select id, t from product order by id") == [(0, "a"), (1, None), (3, "c")]
