"""Sources: where Parquet lies. A source lists folders and files and opens a file for random reads."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import pyarrow as pa

from pgpipe.config import SourceSettings
from pgpipe.errors import UsageError


@dataclass(frozen=True)
class File:
    """A file as it was when it was listed."""

    path: str  # relative to the source, parts joined by "/"
    uri: str  # the full address, as the ledger and messages name it
    etag: str  # identity of its bytes
    bytes: int
    modified: datetime


class Source(Protocol):
    """What a place must offer. `under` is a path relative to the source, "" for all of it."""

    url: str

    def folders(self, under: str) -> list[str]:
        """Names of the folders directly below, sorted."""
        ...

    def files(self, under: str) -> Iterator[File]:
        """All files below, at any depth, sorted by path."""
        ...

    def open(self, file: File) -> AbstractContextManager[pa.NativeFile]:
        """Open for reading; raises SourceError if the file is not, or does not stay, what was listed."""
        ...


def open_source(settings: SourceSettings) -> Source:
    """The source that the url names.

    Raises:
        UsageError: there is no url, or one of another scheme.
    """
    url = settings.url
    if not url:
        raise UsageError("no source: give --source s3://bucket/prefix or file:///path, or set source.url")
    scheme = url.partition("://")[0]
    if scheme == "file":
        from pgpipe.source.local import LocalSource

        return LocalSource(url)
    if scheme == "s3":
        from pgpipe.source.s3 import S3Source

        return S3Source(settings)
    raise UsageError(f"a source is s3://bucket/prefix or file:///path, not {url!r}")
