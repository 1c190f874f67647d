"""The wheel carries everything: what is installed from it works in an empty folder."""

import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import pgpipe
from tests.conftest import Lake, Server

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, built from the tree."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--sdist", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """The wheel."""
    return next(built.glob("*.whl"))


def needed(metadata: str, extra: str) -> set[str]:
    """The distributions that a wheel's metadata asks for, with all that these ask for in turn, as installed here."""
    found: set[tuple[str, str]] = set()
    todo = [(line, extra) for line in Parser().parsestr(metadata).get_all("Requires-Dist", [])]
    while todo:
        line, wanted = todo.pop()
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": wanted}):
            continue
        for below in requirement.extras or {""}:
            if (requirement.name, below) not in found:
                found.add((requirement.name, below))
                todo += [(line, below) for line in distribution(requirement.name).requires or []]
    return {name for name, _ in found}


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the wheel, and of what is installed here only what its metadata asks for.

    A full installation downloads gigabytes. Links to the declared distributions, and to no other, show as well that
    nothing is imported that is not declared.
    """
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))).decode()
    for name in needed(metadata, "embedded"):
        installed = distribution(name)
        for top in {file.parts[0] for file in installed.files or []} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(Path(str(installed.locate_file(top))))
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python")]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    return folder


def test_wheel_has_every_migration_sql_file_and_unit(wheel: Path) -> None:
    """What lies in the repository's data folders lies in the wheel, and no test does."""
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"pgpipe/{f.relative_to(ROOT)}" for f in [*ROOT.glob("migrations/*.sql"), *ROOT.glob("sql/**/*.sql")]}
    wanted |= {str(f.relative_to(ROOT)) for f in ROOT.glob("pgpipe/units/*.service")}
    wanted |= {str(f.relative_to(ROOT)) for f in ROOT.glob("pgpipe/web/*/*.*") if f.suffix in {".html", ".css", ".svg"}}

    assert wanted <= names
    assert not [n for n in names if n.startswith("tests/")]


def test_sdist_has_what_builds_and_tests_it(built: Path) -> None:
    """Sources, SQL, tests and documents."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for kept in (
        "pyproject.toml",
        "README.md",
        "pgpipe/cli/app.py",
        "sql/internal/53_merge.sql",
        "tests/conftest.py",
        "LICENSE",
    ):
        assert kept in names


def test_an_empty_environment_migrates_and_loads(
    environment: Path, tmp_path: Path, lake: Lake, server18: Server
) -> None:
    """The wheel with its declared dependencies alone, in an empty folder: migrate, twice; load; search."""
    lake.put("2026-01-01", "product", [{"id": 1, "text": "a waterproof jacket for cycling in the rain"}])
    empty = tmp_path / "empty"
    empty.mkdir()
    server18.create("from_wheel")
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DATABASE_URL": server18.at("from_wheel")}

    def run(*command: str, code: int = 0) -> str:
        done = subprocess.run(
            [str(environment / "bin" / command[0]), *command[1:]],
            cwd=empty, env=variables, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done
        return done.stdout

    assert run("python", "-c", "import pgpipe; print(pgpipe.__file__)").startswith(str(environment))
    run("python", "-c", "import pytest", code=1)
    assert "applied 0001_schema" in run("pgpipe", "migrate")
    assert run("python", "-m", "pgpipe", "migrate") == "The schema is up to date.\n"
    run("pgpipe", "load", "--source", lake.url, "--key", "id", "--skip-embeddings")
    assert "waterproof" in run("pgpipe", "search", "jackets", "--mode", "text")
    assert run("pgpipe", "--version") == f"pgpipe, version {pgpipe.__version__} (pgpipe-search)\n"
    assert list(empty.iterdir()) == []


def test_the_version_is_one(wheel: Path) -> None:
    """Of the package, of its metadata, and of the wheel's name."""
    assert wheel.name.startswith(f"pgpipe_search-{pgpipe.__version__}-")
