"""The demo's lake: real text, two dates, and counts that are what really differs."""

import sysconfig
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pgpipe.demo.lake import ENTITIES, NEWER, OLDER, SCHEMA, Changes, build, documented

LIMIT = 220


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Changes]]:
    """A lake on disk and the changes it claims."""
    folder = tmp_path_factory.mktemp("lake")
    return folder, build(folder, limit=LIMIT)


def read(folder: Path, date: str, entity: str) -> dict[str, dict]:
    """The rows of an entity by name; no name twice."""
    files = sorted((folder / date / entity).glob("*.parquet"))
    found = [row for file in files for row in pq.read_table(file, schema=SCHEMA).to_pylist()]
    by_name = {row["name"]: row for row in found}
    assert len(by_name) == len(found)
    return by_name


@pytest.mark.parametrize("entity", ENTITIES)
def test_the_counts_are_what_differs(built: tuple[Path, dict[str, Changes]], entity: str) -> None:
    """Between the two dates, row by row."""
    folder, changes = built
    older, newer = read(folder, OLDER, entity), read(folder, NEWER, entity)

    assert changes[entity] == Changes(
        rows=len(newer),
        inserted=len(newer.keys() - older.keys()),
        updated=sum(older[name] != newer[name] for name in newer.keys() & older.keys()),
        deleted=len(older.keys() - newer.keys()),
    )
    assert min(changes[entity].inserted, changes[entity].updated, changes[entity].deleted) > 0
    assert len(newer) <= LIMIT


def test_both_dates_are_complete(built: tuple[Path, dict[str, Changes]]) -> None:
    """Marked as such, with every entity in them, the newer one in several files."""
    folder, _ = built

    for date, files in ((OLDER, 1), (NEWER, 2)):
        assert (folder / date / "_SUCCESS").exists()
        assert {p.name for p in (folder / date).iterdir() if p.is_dir()} == set(ENTITIES)
        assert all(len(list((folder / date / entity).iterdir())) == files for entity in ENTITIES)


def test_a_library_with_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A NUL in a docstring, as in Python 3.14's, is written out; a link that leads nowhere is left out."""
    (tmp_path / "odd.py").write_text('def join():\n    """Joins by \\0."""\n')
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere.py")
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(tmp_path))

    assert [(kind, row["summary"]) for kind, row in documented()] == [("function", "Joins by \\0.")]


def test_the_text_is_real(built: tuple[Path, dict[str, Changes]]) -> None:
    """What Python says of itself, the same on every build."""
    folder, changes = built
    functions = read(folder, NEWER, "function")

    assert all(row["summary"] and row["lines"] > 0 for row in functions.values())
    assert functions["bisect.bisect_left"]["signature"] == "bisect_left(a, x, lo=0, hi=None, *, key=None)"
    assert build(folder / "again", limit=LIMIT) == changes
    for file in (folder / NEWER).rglob("*.parquet"):
        assert file.read_bytes() == (folder / "again" / file.relative_to(folder)).read_bytes()
