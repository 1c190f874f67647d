"""What a command waits for before it begins: nothing that only other commands need."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pgpipe.cli
from pgpipe.cli.app import MODULES, cli
from pgpipe.db import Database

HEAVY = {
    "boto3",
    "fsspec",
    "httpx",
    "huggingface_hub",
    "pandas",
    "prometheus_client",
    "rich.progress",
    "semantic_text_splitter",
    "sentence_transformers",
    "starlette",
    "torch",
    "transformers",
    "yoyo",
}
READING = {"dotenv", "numpy", "pgvector", "pyarrow", "structlog", "urllib.request"}  # rows, vectors, a log, notices
DRIVER = """
import sys
from pgpipe.cli import main
try:
    main()
finally:
    print(f"imported: {sorted(%r & set(sys.modules))}")
"""
NOTHING = "imported: []"


def imported(folder: Path, *arguments: str, known: set[str] = HEAVY, **environment: str) -> str:
    """Which of the known packages a command has imported when it ends well."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER % known, *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("arguments", [["--version"], ["load", "--help"], ["plan", "--help"]])
def test_help_imports_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    """Neither the model's packages nor those of a source."""
    assert imported(tmp_path, *arguments) == NOTHING


def test_a_load_imports_nothing_that_only_others_need(database: Database, tmp_path: Path) -> None:
    """A short load from files is not held up by boto3, yoyo or a progress bar that nobody sees."""
    folder = tmp_path / "lake" / "2026-11-22" / "note"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"id": [1, 2], "size": [0.5, None]}), folder / "a.parquet")

    load = ("load", "--source", f"file://{tmp_path}/lake", "--mode", "append", "--skip-search", "--skip-embeddings")
    assert imported(tmp_path, *load, DATABASE_URL=database.url) == NOTHING
    assert (
        imported(tmp_path, *load, known=HEAVY | READING, DATABASE_URL=database.url) == NOTHING
    )  # nothing is to be done


def test_status_imports_nothing_that_reads_rows(database: Database, tmp_path: Path) -> None:
    """Neither Arrow nor a model's packages, nor what writes logs; with --json not even what draws tables."""
    every = HEAVY | READING
    assert imported(tmp_path, "status", known=every, DATABASE_URL=database.url) == NOTHING
    assert imported(tmp_path, "status", "--json", known=every | {"rich"}, DATABASE_URL=database.url) == NOTHING


def test_every_command_is_in_the_table_of_modules() -> None:
    """A command whose module registers it, but which the table lacks, would not be found."""
    modules = {path.stem for path in Path(pgpipe.cli.__file__).parent.glob("*.py")} - {"__init__", "app", "options"}
    assert set(MODULES.values()) == modules
    for name in MODULES:
        assert cli.get_command(None, name), name
    assert set(cli.commands) == set(MODULES)
