"""s3:// sources: AWS, or any server of its protocol."""

import io
import random
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import boto3
import pyarrow as pa
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import HTTPClientError, IncompleteReadError

from pgpipe.errors import SourceError, UsageError
from pgpipe.settings.source import SourceSettings
from pgpipe.source import File
from pgpipe.source.identity import is_hash
from pgpipe.source.s3_errors import OVERWRITTEN, lost, translated, valid_endpoint

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TRIES = 5  # of a body that breaks off without a byte; the request itself is retried by botocore as often
SILENCE = 60  # seconds without a byte after which a request is given up
PAUSE = 0.2  # seconds before the second try; doubled before each further one
SECOND = timedelta(seconds=1)
# The ARN of an access point stands where a bucket does, and has slashes of its own.
ACCESS_POINT = re.compile(r"arn:[^/]*:(?:accesspoint[:/][^/]+|outpost[:/][^/]+[:/]accesspoint[:/][^/]+)")


class S3Source:
    """A prefix of a bucket."""

    def __init__(self, settings: SourceSettings) -> None:
        bucket, prefix = _address(settings.url or "")
        if settings.anonymous and settings.request_payer:
            raise UsageError("source.anonymous and source.request_payer cannot both be set: who pays must be known")
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._settings = settings
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._payer: Any = {"RequestPayer": "requester"} if settings.request_payer else {}
        with translated(self.url, settings), valid_endpoint(settings.endpoint_url):
            session = boto3.Session(profile_name=settings.profile, region_name=settings.region)
            self._client: S3Client = session.client(
                "s3",
                endpoint_url=settings.endpoint_url,
                config=Config(
                    signature_version=UNSIGNED if settings.anonymous else None,
                    retries={"mode": "standard", "total_max_attempts": TRIES},
                    s3={"addressing_style": settings.addressing_style},
                    connect_timeout=10,
                    read_timeout=SILENCE,
                    max_pool_connections=64,
                ),
            )

    def server_time(self) -> datetime:
        """The clock of the server; it refuses requests whose clock differs by more than 15 minutes."""
        with translated(self.url, self._settings):
            answer = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1, **self._payer)
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])

    def folders(self, under: str) -> list[str]:
        """Names of the folders directly below."""
        at = self._key(under)
        pages = self._pages(Prefix=at, Delimiter="/")
        found = (common["Prefix"] for page in pages for common in page.get("CommonPrefixes", []))
        return sorted(prefix[len(at) : -1] for prefix in found)

    def files(self, under: str) -> Iterator[File]:
        """All objects below; keys that end with "/" stand for folders and are left out."""
        yield from self._files(Prefix=self._key(under))

    def files_in(self, under: str) -> Iterator[File]:
        """The objects directly below."""
        yield from self._files(Prefix=self._key(under), Delimiter="/")

    def _files(self, **query: str) -> Iterator[File]:
        for page in self._pages(**query):
            for item in page.get("Contents", []):
                path = item["Key"][len(self._prefix) :]
                if not path.endswith("/"):
                    etag, size = item.get("ETag", "").strip('"'), item["Size"]
                    yield File(path, f"{self.url}/{path}", etag, size, item["LastModified"], is_hash(etag, size))

    @contextmanager
    def open(self, file: File) -> Iterator[pa.NativeFile]:
        """Open the object; every read asks for the version that was listed."""
        with pa.PythonFile(_Object(self, file), mode="r") as stream:
            yield stream

    def get(self, file: File, **query: Any) -> Any:  # noqa: ANN401 - what boto3 makes of the answer
        """A part of an object."""
        return self._client.get_object(Bucket=self._bucket, Key=self._prefix + file.path, **query, **self._payer)

    def translated(self, file: File) -> AbstractContextManager[None]:
        """Turn botocore's errors into ours, about this file."""
        return translated(file.uri, self._settings)

    def _key(self, under: str) -> str:
        return self._prefix + (f"{under}/" if under else "")

    def _pages(self, **query: Any) -> Iterator[Any]:  # noqa: ANN401 - options and pages are of many types
        with translated(self.url, self._settings):
            yield from self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, **query, **self._payer
            )


def _address(url: str) -> tuple[str, str]:
    """Bucket and prefix.

    Raises:
        UsageError: it names none.
    """
    rest = url.partition("://")[2].rstrip("/")
    point = ACCESS_POINT.match(rest)
    if rest.startswith("arn:") and point is None:
        raise UsageError(
            f"the source {url!r} is not the ARN of an access point;"
            " write s3://arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/prefix"
        )
    bucket = point[0] if point else rest.partition("/")[0]
    if not bucket:
        raise UsageError(f"the source {url!r} names no bucket; write s3://bucket/prefix")
    if "@" in bucket:
        raise UsageError("a source such as s3://bucket/prefix names no user; set AWS_… variables or source.profile")
    return bucket, rest[len(bucket) :].removeprefix("/")


class _Object(io.RawIOBase):
    """Random reads of one version of an object by ranged GETs."""

    def __init__(self, source: S3Source, file: File) -> None:
        self._source, self._file = source, file
        self._at = 0
        self._version: str | None = None  # of the first answer

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.bytes}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._file.bytes if size < 0 else min(self._at + size, self._file.bytes)
        got = bytearray()
        tries = 0
        with self._source.translated(self._file):
            while self._at < end:
                before = self._at
                why: Exception | None = None
                try:
                    self._read_range(end, got)
                except (OSError, HTTPClientError, IncompleteReadError) as exc:
                    why = exc
                if self._at < end:  # the body broke off: go on from there
                    tries = tries + 1 if self._at == before else 1
                    if tries >= TRIES:
                        reason = str(why or "it sent nothing").splitlines()[0]
                        raise lost(f"{self._file.uri}: the server broke off {TRIES} times: {reason}") from why
                    time.sleep(PAUSE * 2 ** (tries - 1) * random.uniform(0.5, 1))  # noqa: S311 - spread, not secret
        return bytes(got)

    def _read_range(self, end: int, into: bytearray) -> None:
        """Append what comes of the range to `into`, moving on with every block."""
        etag = self._file.etag
        pin: Any = {"IfMatch": f'"{etag}"'} if etag and not etag.startswith("W/") else {}
        answer = self._source.get(self._file, Range=f"bytes={self._at}-{end - 1}", **pin)
        if not self._is_as_listed(answer):
            raise SourceError(f"{self._file.uri}: {OVERWRITTEN}")
        if not answer.get("ContentRange", "").startswith(f"bytes {self._at}-"):
            raise SourceError(f"{self._file.uri}: the server does not answer with the range that it was asked for")
        for block in answer["Body"].iter_chunks(1 << 20):
            into += block
            self._at += len(block)

    def _is_as_listed(self, answer: Any) -> bool:  # noqa: ANN401 - what boto3 makes of the headers
        """Whether an answer is of the version that was listed; not every server honours If-Match."""
        file = self._file
        total = answer.get("ContentRange", "").rpartition("/")[2]
        if total.isdigit() and int(total) != file.bytes:
            return False
        if file.etag and answer.get("ETag", "").strip('"') != file.etag:
            return False
        if file.strong:
            return True
        if self._version is None:
            self._version = answer.get("VersionId", "")
        if answer.get("VersionId", "") != self._version:
            return False
        modified = answer.get("LastModified")  # in whole seconds, which the listing need not be
        return modified is not None and abs(modified - file.modified) < SECOND
