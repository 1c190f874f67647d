"""Folders as a source: files are what they were when they were listed, or it is an error."""

import os
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pgpipe.errors import SourceError
from pgpipe.load.plan.files import read_footers
from pgpipe.load.rows.read import read_groups, row_groups
from pgpipe.settings.source import SourceSettings
from pgpipe.source import File, Source, open_source
from pgpipe.source.local import LocalSource


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """A folder with a file in it."""
    (tmp_path / "a b%").mkdir()
    (tmp_path / "a b%" / "file").write_bytes(b"0123456789")
    return open_source(SourceSettings(url=f"file://{tmp_path}/a b%25/"))


def listed(source: Source) -> File:
    """The file as it is now."""
    (file,) = source.files("")
    return file


class Counting(LocalSource):
    """It counts how often each file is opened."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.opened: Counter[str] = Counter()

    def open(self, file: File) -> AbstractContextManager[pa.NativeFile]:
        self.opened[file.path] += 1
        return super().open(file)


def test_small_files_are_read_once(tmp_path: Path) -> None:
    """For footer and rows, as far as there is room for them; they are the bytes that were listed."""
    for name in ("a", "b", "c"):
        pq.write_table(pa.table({"name": [name] * 3}), tmp_path / name)
    source = Counting(f"file://{tmp_path}")
    files = tuple(source.files(""))
    parts = read_footers(source, files, keep=2 * files[0].bytes)
    kept = [part.file.path for part in parts if part.content]
    pq.write_table(pa.table({"name": ["changed"]}), tmp_path / kept[0])

    found = [piece.rows["name"].to_pylist() for batch in read_groups(source, row_groups(parts)) for piece in batch]
    assert (sorted(found), len(kept)) == ([[name] * 3 for name in ("a", "b", "c")], 2)
    assert source.opened == {file.path: 1 + (file.path not in kept) for file in files}


def test_a_file_is_listed_and_read(source: Source) -> None:
    """With its size and an ETag that is of its bytes, wherever they lie."""
    file = listed(source)

    assert (file.path, file.uri, file.bytes) == ("file", f"{source.url}/file", 10)
    with source.open(file) as stream:
        stream.seek(3)
        assert stream.read(2) == b"34"
    again = listed(source)
    assert again == file


def test_the_etag_is_of_the_bytes(source: Source, tmp_path: Path) -> None:
    """A copy has the same, a change another, whatever the time and the name."""
    (tmp_path / "a b%" / "copy").write_bytes(b"0123456789")
    (tmp_path / "a b%" / "other").write_bytes(b"0123456780")

    copy, file, other = source.files("")

    assert copy.etag == file.etag != other.etag


@pytest.mark.parametrize("size", [10, 11])
def test_a_file_that_is_overwritten_is_named(source: Source, tmp_path: Path, size: int) -> None:
    """While it is read, or since it was listed."""
    file = listed(source)
    message = f"{file.uri} was overwritten while it was read; load again"

    def read(then: Callable[[], object]) -> None:
        with source.open(file) as stream:
            stream.read(5)
            then()

    with pytest.raises(SourceError, match=message):
        read(then=lambda: (tmp_path / "a b%" / "file").write_bytes(bytes(size)))
    with pytest.raises(SourceError, match=message):
        read(then=lambda: None)


def test_a_file_in_its_place_is_named(source: Source, tmp_path: Path) -> None:
    """L4: one of the same size and time too, as `cp -p` and rsync bring it."""
    file, path = listed(source), tmp_path / "a b%" / "file"
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    (tmp_path / "other").write_bytes(b"9876543210")
    os.utime(tmp_path / "other", ns=times)
    (tmp_path / "other").replace(path)

    assert replace(listed(source), etag=file.etag, version=file.version) == file
    with pytest.raises(SourceError, match="was overwritten while it was read"), source.open(file) as stream:
        stream.read()


def test_a_file_that_is_gone_is_named(source: Source, tmp_path: Path) -> None:
    """With the system's reason."""
    file = listed(source)
    (tmp_path / "a b%" / "file").unlink()

    with pytest.raises(SourceError, match=r"a b%/file cannot be read: .*No such file"), source.open(file):
        pass


def test_a_folder_that_is_not_there_is_named(source: Source) -> None:
    """Not taken for an empty one."""
    with pytest.raises(SourceError, match=r"a b%/none cannot be read: No such file"):
        source.folders("none")
