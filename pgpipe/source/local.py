"""file:// sources: a folder of this machine."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from pgpipe.errors import SourceError, UsageError
from pgpipe.source import File


class LocalSource:
    """A folder. A file's ETag is a hash of its bytes, so that a copy under a new date is recognised as on S3."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(url.replace("#", "%23").replace("?", "%3F"))
        if parts.netloc not in {"", "localhost"}:
            raise UsageError(f"{url!r} is no path of this machine; write file:///path, or s3://bucket/prefix")
        self._root = Path(unquote(parts.path))
        if not self._root.is_dir():
            raise SourceError(f"there is no folder {self._root}")

    def folders(self, under: str) -> list[str]:
        """Names of the folders directly below."""
        with _readable(self._root / under) as path:
            return sorted(p.name for p in path.iterdir() if p.is_dir())

    def files(self, under: str) -> Iterator[File]:
        """All files below."""
        with _readable(self._root / under) as path:
            found = sorted(p for p in path.rglob("*") if p.is_file())
        for p in found:
            with _readable(p):
                stat = p.stat()
                with p.open("rb") as stream:
                    etag = hashlib.file_digest(stream, "sha256").hexdigest()
            relative = p.relative_to(self._root).as_posix()
            modified = datetime.fromtimestamp(stat.st_mtime, UTC)
            yield File(relative, f"{self.url}/{relative}", etag, stat.st_size, modified)

    @contextmanager
    def open(self, file: File) -> Iterator[pa.NativeFile]:
        """Open the file; it must not change until it is closed."""
        with _readable(self._root / file.path) as path, pa.OSFile(os.fspath(path), mode="r") as stream:
            yield stream
            stat = path.stat()
        if (stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC)) != (file.bytes, file.modified):
            raise SourceError(f"{file.uri} was overwritten while it was read; load again")


@contextmanager
def _readable(path: Path) -> Iterator[Path]:
    try:
        yield path
    except OSError as exc:
        raise SourceError(f"{path} cannot be read: {exc.strerror or exc}") from exc
