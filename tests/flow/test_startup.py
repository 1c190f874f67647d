"""What a command waits for before it begins: nothing that only other commands need."""

import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pgpipe.cli
from pgpipe.cli.app import MODULES, cli
from pgpipe.db import Database
from pgpipe.settings.model import DEFAULT_MODEL
from tests.conftest import Lake
from tests.unit.http_service import serving

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


def test_a_text_search_imports_nothing_that_makes_vectors(database: Database, tmp_path: Path) -> None:
    """Neither a model's packages nor numpy; and a question by meaning neither torch nor the library of models."""
    with database.connect(autocommit=True) as conn:
        conn.execute("create table doc (id int primary key, title text)")
        conn.execute("select pgpipe.enable_search('doc', '{title=>A}')")
        conn.execute("select pgpipe.enable_embedding('doc', '{title}', %s, 384)", (DEFAULT_MODEL,))

    text = ("search", "a jacket", "--mode", "text", "--json")
    assert imported(tmp_path, *text, known=HEAVY | READING - {"dotenv"}, DATABASE_URL=database.url) == NOTHING
    meaning = imported(tmp_path, *text[:2], "--mode", "vector", DATABASE_URL=database.url)
    assert not {"torch", "transformers", "sentence_transformers"} & set(re.findall(r"'([\w.]+)'", meaning)), meaning


WITHOUT_TORCH = """
import asyncio, sys
from pathlib import Path
import httpx
from pgpipe.cli import main

for line in ("migrate", "load", "search rain --mode text", "status", "embedder --drain"):
    sys.argv = ["pgpipe", *line.split()]
    try:
        main()
    except SystemExit as end:
        assert not end.code, line

from pgpipe.db import Database
from pgpipe.settings.sources import load_settings
from pgpipe.web.app import create_app
from pgpipe.web.asking import Models

async def serve():
    settings = load_settings(None, {})
    app = create_app(Database(settings.database), Models(settings.embedding))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        for address in ("/", "/api/search?q=rain&mode=text", "/api/status"):
            assert (await client.get(address)).status_code == 200, address

asyncio.run(serve())
print(sorted({"torch", "transformers", "sentence_transformers"} & set(sys.modules)))
"""


def test_who_does_not_encode_with_torch_does_not_import_it(database: Database, tmp_path: Path) -> None:
    """Migrating, loading, text search, status, the page, and an embedder whose vectors come from a service."""
    Lake(tmp_path / "lake").put(
        "2026-01-01", "note", [{"id": 1, "text": "a waterproof jacket for cycling in the rain"}]
    )
    settings = {
        "DATABASE_URL": database.url,
        "EMBEDDING_MODEL": "m",
        "PGPIPE_EMBEDDING__BACKEND": "http",
        "PGPIPE_ENTITY__NOTE__KEY": '["id"]',
        "PGPIPE_SOURCE__URL": f"file://{tmp_path}/lake",
    }
    with serving() as service:
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_TORCH],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PGPIPE_EMBEDDING__URL": service.url, **settings},
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    assert "1 rows embedded" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_command_is_in_the_table_of_modules() -> None:
    """A command whose module registers it, but which the table lacks, would not be found."""
    others = {"__init__", "app", "options", "plan_text"}
    modules = {path.stem for path in Path(pgpipe.cli.__file__).parent.glob("*.py")} - others
    assert set(MODULES.values()) == modules
    for name in MODULES:
        assert cli.get_command(None, name), name
    assert set(cli.commands) == set(MODULES)
