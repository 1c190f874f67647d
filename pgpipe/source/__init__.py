"""Sources: where the Parquet files are. A source lists folders and files and opens a file for random reads."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pgpipe.distribution import install
from pgpipe.errors import PgpipeError, UsageError
from pgpipe.mask import said
from pgpipe.secret import address
from pgpipe.settings.source import SourceSettings

if TYPE_CHECKING:
    import pyarrow as pa

GROUP = "pgpipe.sources"  # the entry point group in which a package names its schemes


@dataclass(frozen=True)
class File:
    """A file as it was when it was listed."""

    path: str  # relative to the source, parts joined by "/"
    uri: str  # the full address, as the ledger and messages name it
    etag: str  # identity of its bytes, as the source states it
    bytes: int
    modified: datetime
    strong: bool = True  # False: other bytes may have the same ETag
    version: str = ""  # what else the source tells it by while it is read

    @property
    def versioned(self) -> str:
        """What tells it from other versions at the same address, if the ETag does not."""
        return f"{self.etag}@{self.bytes}@{self.modified.isoformat()}"

    @property
    def identity(self) -> str:
        """What the ledger knows this version by; only a strong one says the same of other files."""
        return self.etag if self.strong else self.versioned

    def __post_init__(self) -> None:
        """The address is stored: whatever source it is of, it holds no secret."""
        object.__setattr__(self, "uri", address(self.uri))


@runtime_checkable
class Source(Protocol):
    """What a place must offer. `under` is a path relative to the source, "" for all of it."""

    url: str

    def folders(self, under: str) -> list[str]:
        """Names of the folders directly below, sorted."""
        ...

    def files(self, under: str) -> Iterator[File]:
        """All files below, at any depth, sorted by path."""
        ...

    def open(self, file: File) -> AbstractContextManager["pa.NativeFile"]:
        """Open for reading; raises SourceError if the file is not, or does not stay, what was listed."""
        ...


def files_in(source: Source, folder: str) -> list[File]:
    """The files that lie in a folder itself, sorted by path."""
    direct = getattr(source, "files_in", None)  # a source of another package need not have it
    below = direct(folder) if direct else source.files(folder)
    return [file for file in below if "/" not in file.path.removeprefix(f"{folder}/")]


def open_source(settings: SourceSettings) -> Source:
    """The source that the url names: of this package, of another one, or of fsspec, by the url's scheme.

    Another package offers one by the entry point `pgpipe.sources`: its name is the scheme, its object takes the
    settings and returns a Source.

    Raises:
        UsageError: the url is missing, its scheme is unknown, or the package does not load.
        SourceError: it cannot be reached.
    """
    url = settings.url
    if not url:
        raise UsageError("no source: give --source s3://bucket/prefix or file:///path, or set source.url")
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme == "file":
        from pgpipe.source.local import LocalSource

        return LocalSource(url)
    if scheme in {"s3", "s3a", "s3n"}:  # the others are Hadoop's names of the same
        from pgpipe.source.s3 import S3Source

        return S3Source(settings)
    for point in entry_points(group=GROUP, name=scheme):
        return _plugin(point, settings)
    if scheme and find_spec("fsspec"):
        from pgpipe.source.filesystem import FilesystemSource, is_known

        if is_known(scheme):
            return FilesystemSource(url)
    more = "" if find_spec("fsspec") else f"; gs://, az:// and others take `{install('fsspec')}`"
    raise UsageError(f"a source is s3://bucket/prefix or file:///path, not {url!r}{more}")


def _plugin(point: EntryPoint, settings: SourceSettings) -> Source:
    try:
        source = point.load()(settings)
    except PgpipeError:
        raise
    except Exception as exc:
        raise UsageError(f"the source {point.name!r} ({point.value}) does not load: {said(exc)}") from exc
    if not isinstance(source, Source):
        raise UsageError(f"{point.value} is not a source: it needs `url`, `folders`, `files` and `open`")
    return source
