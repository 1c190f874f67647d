"""file:// sources: a folder of this machine."""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from pgpipe.errors import SourceError, UsageError
from pgpipe.source import File

if TYPE_CHECKING:
    import pyarrow as pa

HASHERS = min(os.cpu_count() or 1, 8)
READ_AT_ONCE = 1 << 20
_Path = TypeVar("_Path", Path, str)


class LocalSource:
    """A folder. A file's ETag is a hash of its bytes, so that a copy under a new date is recognised as on S3."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(url.replace("#", "%23").replace("?", "%3F"))
        if parts.netloc not in {"", "localhost"}:
            raise UsageError(f"{url!r} is not a path of this machine; write file:///path, or s3://bucket/prefix")
        self._root = Path(unquote(parts.path))
        if not self._root.is_dir():
            raise SourceError(f"the folder {self._root} does not exist")

    def folders(self, under: str) -> list[str]:
        """Names of the folders directly below."""
        with _readable(self._root / under) as path:
            return sorted(p.name for p in path.iterdir() if p.is_dir())

    def files(self, under: str) -> Iterator[File]:
        """All files below."""
        with ThreadPoolExecutor(HASHERS, thread_name_prefix="hash") as pool:
            yield from pool.map(self._file, sorted(self._walk(under)))

    def files_in(self, under: str) -> Iterator[File]:
        """The files directly below."""
        with _readable(self._root / under) as path:
            names = sorted(p.name for p in path.iterdir() if p.is_file())
        yield from (self._file(f"{under}/{name}" if under else name) for name in names)

    def _walk(self, under: str) -> Iterator[str]:
        with _readable(self._root / under) as path, os.scandir(path) as entries:
            for entry in entries:
                inner = f"{under}/{entry.name}" if under else entry.name
                if entry.is_dir():
                    yield from self._walk(inner)
                elif entry.is_file():
                    yield inner

    def _file(self, path: str) -> File:
        whole = f"{self._root}/{path}"
        with _readable(whole), Path(whole).open("rb") as stream:
            stat = os.fstat(stream.fileno())
            small = stat.st_size <= READ_AT_ONCE
            digest = hashlib.sha256(stream.read()) if small else hashlib.file_digest(stream, "sha256")
        modified = datetime.fromtimestamp(stat.st_mtime, UTC)
        version = str(stat.st_ino)  # another file in its place may have its size and time
        return File(path, f"{self.url}/{path}", digest.hexdigest(), stat.st_size, modified, version=version)

    @contextmanager
    def open(self, file: File) -> "Iterator[pa.NativeFile]":
        """Open the file; it must not change until it is closed."""
        import pyarrow as pa

        with _readable(self._root / file.path) as path, pa.OSFile(os.fspath(path), mode="r") as stream:
            yield stream
            stat = path.stat()
        now = stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC), str(stat.st_ino)
        if now != (file.bytes, file.modified, file.version):
            raise SourceError(f"{file.uri} was overwritten while it was read; load again")


@contextmanager
def _readable(path: _Path) -> Iterator[_Path]:
    try:
        yield path
    except OSError as exc:
        raise SourceError(f"{path} cannot be read: {exc.strerror or exc}") from exc
