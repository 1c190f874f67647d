"""The wheel carries everything: what is installed from it works in an empty folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import Server

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_wheel_has_every_migration_sql_file_and_unit(wheel: Path) -> None:
    """What lies in the repository's data folders lies in the wheel, and no test does."""
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"pgpipe/{f.relative_to(ROOT)}" for f in [*ROOT.glob("migrations/*.sql"), *ROOT.glob("sql/*.sql")]}
    wanted |= {str(f.relative_to(ROOT)) for f in ROOT.glob("pgpipe/units/*.service")}
    wanted |= {str(f.relative_to(ROOT)) for f in ROOT.glob("pgpipe/web/*/*.*") if f.suffix in {".html", ".css", ".svg"}}

    assert wanted <= names
    assert not [n for n in names if n.startswith("tests/")]


def test_migrate_from_an_installed_wheel_in_an_empty_folder(wheel: Path, tmp_path: Path, server18: Server) -> None:
    """`pgpipe migrate` needs nothing of the repository; a second time it finds nothing to do."""
    packages, empty = tmp_path / "packages", tmp_path / "empty"
    empty.mkdir()
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(packages), str(wheel)]
    subprocess.run(install, check=True)
    server18.create("from_wheel")
    environment = os.environ | {"PYTHONPATH": str(packages), "DATABASE_URL": server18.at("from_wheel")}
    python = [sys.executable, "-P", "-W", "ignore"]
    where = subprocess.check_output(
        [*python, "-c", "import pgpipe; print(pgpipe.__file__)"], env=environment, text=True
    )
    command = [*python, "-m", "pgpipe", "migrate"]

    first = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, check=True)
    second = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, check=True)

    assert where.startswith(str(packages))
    assert "applied 0001_schema" in first.stdout
    assert second.stdout == "The schema is up to date.\n"
