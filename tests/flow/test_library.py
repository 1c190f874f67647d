"""pgpipe inside a user's own program: silent, until that program configures logging."""

import os
import subprocess
import sys
from pathlib import Path

from pgpipe.db import Database
from tests.conftest import Lake

PROGRAM = """
import logging, sys
if "hear" in sys.argv:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
import pgpipe
report = pgpipe.Pipeline(skip=["embed"]).run()
hits = pgpipe.search("waterproof jacket", entity="product", mode="text")
assert [hit.key for hit in hits] == [{"id": 1}]
assert report.exit_code == 1 and {s.entity for s in report.stages if s.state == "failed"} == {"broken"}
"""


def run(database: Database, lake: Lake, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A load of which one entity fails, and a search."""
    lake.put("2026-01-01", "product", [{"id": 1, "text": "a waterproof jacket for cycling in the rain"}])
    broken = lake.put("2026-01-01", "broken", [{"id": 1}])
    broken.write_bytes(b"no parquet")
    named = {"DATABASE_URL": database.url, "PGPIPE_SOURCE__URL": lake.url, "PGPIPE_ENTITY__PRODUCT__KEY": '["id"]'}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env=os.environ | named | {"PGPIPE_ENTITY__PRODUCT__SEARCH": '{"columns": {"text": "A"}}'},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_program_that_asked_for_no_log_gets_none(database: Database, lake: Lake, tmp_path: Path) -> None:
    """Neither on stdout nor on stderr, and no file is made; also where an entity fails."""
    done = run(database, lake, tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [file.name for file in tmp_path.iterdir()] == ["lake"]


def test_a_program_hears_through_the_standard_library(database: Database, lake: Lake, tmp_path: Path) -> None:
    """One record an event under the module's name, with its fields, and no connection string."""
    done = run(database, lake, tmp_path, "hear")

    assert (done.returncode, done.stdout) == (0, "")
    lines = done.stderr.splitlines()
    assert any(line.startswith("INFO:pgpipe.pipeline.run:run source=file://") for line in lines)
    assert any(line.startswith("ERROR:pgpipe.pipeline.component:stage ") and "entity=broken" in line for line in lines)
    assert database.url not in done.stderr
