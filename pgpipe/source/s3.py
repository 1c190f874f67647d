"""s3:// sources: AWS, or any server of its protocol."""

import io
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import boto3
import pyarrow as pa
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError, NoCredentialsError
from botocore.exceptions import ConnectionError as NoConnection

from pgpipe.errors import SourceError, UsageError
from pgpipe.settings.model import SourceSettings
from pgpipe.source import File
from pgpipe.source.identity import is_hash

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TRIES = 5  # of a body that breaks off without a byte; the request itself is retried by botocore as often
SILENCE = 60  # seconds without a byte after which a request is given up
PAUSE = 0.2  # seconds before the second try; doubled before each further one
SECOND = timedelta(seconds=1)
BUSY = 500  # status codes from here on are the server's own trouble
SLOW = {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "TooManyRequests"}
REASONS = {
    "NoSuchBucket": "the bucket does not exist",
    "404": "the bucket or key does not exist",
    "NoSuchKey": "the object is gone",
    "AccessDenied": "access is denied: the key needs s3:ListBucket and s3:GetObject",
    "403": "access is denied: the key needs s3:ListBucket and s3:GetObject",
    "InvalidAccessKeyId": "the access key is unknown",
    "SignatureDoesNotMatch": "the secret key is wrong",
    "ExpiredToken": "the credentials have expired",
    "RequestTimeTooSkewed": "the clock of this machine is wrong: set it (timedatectl set-ntp true)",
    "PermanentRedirect": "the bucket is in another region: set source.region",
    "PreconditionFailed": "it was overwritten while it was read; load again",
    "InvalidRange": "it was overwritten while it was read; load again",
    "412": "it was overwritten while it was read; load again",
}


class S3Source:
    """A prefix of a bucket."""

    def __init__(self, settings: SourceSettings) -> None:
        bucket, _, prefix = (settings.url or "").removeprefix("s3://").rstrip("/").partition("/")
        if not bucket:
            raise UsageError(f"the source {settings.url!r} names no bucket; write s3://bucket/prefix")
        if "@" in bucket:
            raise UsageError("a source such as s3://bucket/prefix names no user; set AWS_… variables or source.profile")
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        with _translated(self.url), _valid_endpoint(settings.endpoint_url):
            session = boto3.Session(profile_name=settings.profile, region_name=settings.region)
            self._client: S3Client = session.client(
                "s3",
                endpoint_url=settings.endpoint_url,
                config=Config(
                    retries={"mode": "standard", "total_max_attempts": TRIES},
                    s3={"addressing_style": settings.addressing_style},
                    connect_timeout=10,
                    read_timeout=SILENCE,
                    max_pool_connections=64,
                ),
            )

    def server_time(self) -> datetime:
        """The clock of the server; it refuses requests whose clock differs by more than 15 minutes."""
        with _translated(self.url):
            answer = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])

    def folders(self, under: str) -> list[str]:
        """Names of the folders directly below."""
        at = self._key(under)
        pages = self._pages(Prefix=at, Delimiter="/")
        found = (common["Prefix"] for page in pages for common in page.get("CommonPrefixes", []))
        return sorted(prefix[len(at) : -1] for prefix in found)

    def files(self, under: str) -> Iterator[File]:
        """All objects below; keys that end with "/" stand for folders and are left out."""
        for page in self._pages(Prefix=self._key(under)):
            for item in page.get("Contents", []):
                path = item["Key"][len(self._prefix) :]
                if not path.endswith("/"):
                    etag, size = item.get("ETag", "").strip('"'), item["Size"]
                    yield File(path, f"{self.url}/{path}", etag, size, item["LastModified"], is_hash(etag, size))

    @contextmanager
    def open(self, file: File) -> Iterator[pa.NativeFile]:
        """Open the object; every read asks for the version that was listed."""
        with pa.PythonFile(_Object(self._client, self._bucket, self._prefix + file.path, file), mode="r") as stream:
            yield stream

    def _key(self, under: str) -> str:
        return self._prefix + (f"{under}/" if under else "")

    def _pages(self, **query: Any) -> Iterator[Any]:  # noqa: ANN401 - options and pages are of many types
        with _translated(self.url):
            yield from self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, **query)


class _Object(io.RawIOBase):
    """Random reads of one version of an object by ranged GETs."""

    def __init__(self, client: "S3Client", bucket: str, key: str, file: File) -> None:
        self._client, self._bucket, self._key, self._file = client, bucket, key, file
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
        with _translated(self._file.uri):
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
        answer = self._client.get_object(Bucket=self._bucket, Key=self._key, Range=f"bytes={self._at}-{end - 1}", **pin)
        if not self._is_as_listed(answer):
            raise SourceError(f"{self._file.uri}: {REASONS['PreconditionFailed']}")
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


def lost(message: str, *, transient: bool = True) -> SourceError:
    """An error that a later try may not meet."""
    error = SourceError(message)
    error.transient = transient
    return error


@contextmanager
def _valid_endpoint(url: str | None) -> Iterator[None]:
    try:
        yield
    except ValueError as exc:  # all that boto3 says of an address it cannot read
        raise UsageError(f"source.endpoint_url is {url!r}; write http://host:port") from exc


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except ClientError as exc:
        error = exc.response.get("Error", {})
        code = error.get("Code", "")
        status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        said = f"{what}: {REASONS.get(code) or error.get('Message') or code}"
        raise lost(said, transient=status >= BUSY or code in SLOW) from exc
    except NoCredentialsError as exc:
        raise SourceError(
            f"{what}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or source.profile"
        ) from exc
    except (NoConnection, HTTPClientError) as exc:
        raise lost(f"{what}: the server does not answer: {str(exc).splitlines()[0]}") from exc
    except BotoCoreError as exc:
        raise SourceError(f"{what}: {' '.join(str(exc).split())}") from exc
