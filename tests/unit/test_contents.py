"""What an entity's folder holds: part files of any name, files of other kinds, and tables of other formats."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from pgpipe.errors import SourceError
from pgpipe.source import File
from pgpipe.source.contents import MAGIC, sentence, sort_out
from pgpipe.source.layout import Lake

DAY = date(2026, 11, 22)


class Memory:
    """A source of files in memory that counts how many of them were opened."""

    url = "memory://lake"

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files
        self.opened: list[str] = []

    def folders(self, under: str) -> list[str]:
        at = f"{under}/" if under else ""
        below = [path[len(at) :] for path in self._files if path.startswith(at)]
        return sorted({path.partition("/")[0] for path in below if "/" in path})

    def files(self, under: str) -> Iterator[File]:
        for path, content in sorted(self._files.items()):
            if path.startswith(f"{under}/"):
                yield File(path, f"{self.url}/{path}", str(hash(content)), len(content), datetime.now(UTC))

    def open(self, file: File) -> AbstractContextManager[pa.NativeFile]:
        @contextmanager
        def opened() -> Iterator[pa.NativeFile]:
            self.opened.append(file.path)
            yield pa.BufferReader(self._files[file.path])

        return opened()


def sorted_out(**files: bytes) -> tuple[set[str], list[str], Memory]:
    """The data of a folder, what is ignored in it, and its source."""
    source = Memory({f"p/{name}": content for name, content in files.items()})
    found = sort_out(source, "p", list(source.files("p")))
    return {file.path[2:] for file in found.data}, found.ignored, source


def test_part_files_are_known_by_their_content() -> None:
    """L7: whatever their names are; other files are named as ignored, marks and hidden files are not."""
    parts = ["000000_0", "part-00001", "a.snappy", "b.parquet", "region=eu/000001_0_copy_1", "c.PARQUET", "d.gz"]
    others = ["README", "data.csv", "_draft.parquet", "_temporary/0/e.parquet"]
    marks = ["_SUCCESS", "_metadata", ".part-00001.crc", "_temporary/0/part-1"]

    data, ignored, _ = sorted_out(
        **dict.fromkeys(parts, MAGIC + b"and more"),
        **dict.fromkeys(others, b"no Parquet"),
        **dict.fromkeys(marks, b"mark"),
    )

    assert data == set(parts)
    assert ignored == sorted(others)
    named = "README, _draft.parquet, _temporary/0/e.parquet and 1 more"
    assert sentence(ignored) == f"4 files ignored, hidden or not Parquet: {named}"


def test_of_many_files_a_few_are_looked_into() -> None:
    """L7: three of those that are named alike, unless they differ; those with the usual extensions never."""
    many = {f"part-{n:05}": MAGIC for n in range(2000)} | {f"{n}.parquet": MAGIC for n in range(2000)}

    data, ignored, source = sorted_out(**many, **{f"{n}.json": b"{}" for n in range(1000)})

    assert (len(data), len(ignored), len(source.opened)) == (4000, 1000, 6)
    data, ignored, source = sorted_out(LICENSE=b"text", **many)
    assert (len(data), ignored) == (4000, ["LICENSE"])
    assert len(source.opened) <= 1003


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("_delta_log/00000000000000000000.json", "a Delta Lake table (_delta_log/)"),
        (".hoodie/hoodie.properties", "an Apache Hudi table (.hoodie)"),
        ("region=eu/.hoodie_partition_metadata", "an Apache Hudi table (.hoodie)"),
        ("metadata/v1.metadata.json", "an Apache Iceberg table (metadata/)"),
        ("metadata/00001-9c12d441.gz.metadata.json", "an Apache Iceberg table (metadata/)"),
        ("metadata/version-hint.text", "an Apache Iceberg table (metadata/)"),
    ],
)
def test_tables_of_other_formats(path: str, said: str) -> None:
    """L32: at the entity's folder, below it, at the date's and at the source's: named, and never loaded as files."""
    data = {"part-0.parquet": MAGIC, "data/part-1.parquet": MAGIC}
    source = Memory({f"2026-11-22/{at}{p}": c for at in ("t/", "deep/t/", "plain/") for p, c in data.items()})
    for at in ("t", "deep/t"):
        source._files[f"2026-11-22/{at}/{path}"] = b"{}"

    plain, table = Memory({"2026-11-22/t/p.parquet": MAGIC}), f"is {said}; its folder also holds files"

    listed = {files.entity: files for files in Lake(source).entities(DAY)}
    assert len(listed["plain"].files) == 2
    assert (listed["t"].files, listed["deep"].files) == ((), ())
    assert listed["t"].problem.startswith(f"memory://lake/2026-11-22/t{'/region=eu' * path.startswith('r')} {table}")
    assert listed["deep"].problem.startswith("memory://lake/2026-11-22/deep/t")
    if "=" not in path:
        plain._files[f"2026-11-22/{path}"] = b"{}"
        with pytest.raises(SourceError, match=r"memory://lake/2026-11-22 is an? "):
            Lake(plain).entities(DAY)
        plain._files[path] = b"{}"
        with pytest.raises(SourceError, match=r"memory://lake is an? "):
            Lake(plain).dates()


def test_an_entity_may_be_named_metadata() -> None:
    """Only what Iceberg writes into such a folder makes a table of the one above."""
    source = Memory({"2026-11-22/metadata/part-0.parquet": MAGIC, "2026-11-22/metadata/about.json": b"{}"})

    (files,) = Lake(source).entities(DAY)

    assert (files.entity, len(files.files), files.ignored) == ("metadata", 1, ("about.json",))


def test_a_file_that_is_listed_twice() -> None:
    """K22: with two ETags nobody knows which it is; with one it is one file."""
    source = Memory({"p/a.parquet": MAGIC})
    (file,) = source.files("p")
    other = File(file.path, file.uri, "other", file.bytes, file.modified)

    assert sort_out(source, "p", [file, file]).data == (file,)
    found = sort_out(source, "p", [file, other])
    assert found.data == ()
    assert found.problem.startswith("the source lists memory://lake/p/a.parquet twice")
