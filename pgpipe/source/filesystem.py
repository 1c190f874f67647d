"""Sources of any scheme that fsspec knows: gs://, az://, abfs://, sftp://, memory:// and more."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import fsspec
import pyarrow as pa

from pgpipe.errors import SourceError, UsageError
from pgpipe.mask import said
from pgpipe.secret import address
from pgpipe.source import File
from pgpipe.source.identity import is_hash

IDENTITIES = ("etag", "ETag", "md5Hash", "content_md5", "crc32c", "checksum", "generation", "versionId")
OF_BYTES = {"etag", "md5Hash", "content_md5", "checksum"}  # another version, or another file, has another
UNLISTED = {"http", "https"}  # a web server cannot list a path
TIMES = ("LastModified", "last_modified", "updated", "mtime", "modificationTime", "last_write_time", "created")
MILLISECONDS = 1e11  # a number of seconds above it would be of the year 5138


def is_known(scheme: str) -> bool:
    """Whether fsspec has a filesystem of this scheme, installed or not."""
    return scheme in fsspec.available_protocols() and scheme not in UNLISTED


class FilesystemSource:
    """A folder of a filesystem of fsspec; its credentials are those that the filesystem finds by itself.

    A file's identity is the checksum or version that the filesystem states; where it states none, size and time.
    """

    def __init__(self, url: str) -> None:
        self.url = address(url.rstrip("/")).rstrip("/")
        try:
            self._fs, root = fsspec.core.url_to_fs(url.rstrip("/"))
        except (ImportError, ValueError, TypeError) as exc:
            raise UsageError(f"{url}: {said(exc)}") from exc
        except Exception as exc:  # some filesystems connect at once, each with other errors
            raise SourceError(f"{url}: {said(exc)}") from exc
        self._root = root.rstrip("/")

    def folders(self, under: str) -> list[str]:
        """Names of the folders directly below."""
        with _readable(f"{self.url}/{under}"):
            found = self._fs.ls(self._at(under), detail=True)
        return sorted(str(i["name"]).rstrip("/").rpartition("/")[2] for i in found if i["type"] == "directory")

    def files(self, under: str) -> Iterator[File]:
        """All files below."""
        with _readable(f"{self.url}/{under}"):
            found = self._fs.find(self._at(under), detail=True)
        for path in sorted(found):
            yield self._file(path, found[path])

    @contextmanager
    def open(self, file: File) -> Iterator[pa.NativeFile]:
        """Open the file; it must not change until it is closed."""
        path = f"{self._root}/{file.path}"
        with _readable(file.uri), self._fs.open(path, "rb") as stream:
            yield pa.PythonFile(stream, mode="r")
            self._fs.invalidate_cache()
            if self._file(path, self._fs.info(path)) != file:
                raise SourceError(f"{file.uri} was overwritten while it was read; load again")

    def _at(self, under: str) -> str:
        return f"{self._root}/{under}" if under else self._root

    def _file(self, path: str, info: dict[str, Any]) -> File:
        relative = path[len(self._root) :].lstrip("/")
        size = int(info["size"])
        name = next((name for name in IDENTITIES if info.get(name) not in {None, "", "null"}), None)
        modified = next((found for key in TIMES if (found := _time(info.get(key)))), None)
        if name is None and modified is None:
            raise SourceError(
                f"{self.url}/{relative}: the filesystem states no ETag, checksum or time to tell versions by"
            )
        modified = modified or datetime.fromtimestamp(0, UTC)
        etag = str(info[name]) if name else f"{size}-{modified.isoformat()}"
        strong = name in OF_BYTES or (name == "ETag" and is_hash(etag.strip('"'), size))
        return File(relative, f"{self.url}/{relative}", etag, size, modified, strong)


def _time(value: Any) -> datetime | None:  # noqa: ANN401 - filesystems differ
    if not value:
        return None
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value / 1000 if value > MILLISECONDS else value, UTC)
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@contextmanager
def _readable(what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as exc:
        raise SourceError(f"{what} is not there") from exc
    except OSError as exc:
        raise SourceError(f"{what} cannot be read: {said(exc)}") from exc
