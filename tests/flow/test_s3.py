"""Loads from a real S3 server, and what goes wrong with one."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.config import Config

from pgpipe.db import Database
from pgpipe.demo import store
from pgpipe.errors import SourceError
from pgpipe.settings.source import SourceSettings
from pgpipe.source import File, open_source
from tests.conftest import Cli, DocsLake, Lake
from tests.flow.faults import Faults, proxy
from tests.flow.support import counts, fails, load, rows, versions

Put = Callable[[Path], str]


@pytest.fixture
def put(s3_environment: str) -> Put:
    """Upload a folder to a bucket of its own; returns it as a source."""

    def upload(folder: Path) -> str:
        bucket = f"drops-{uuid.uuid4().hex[:8]}"
        store.upload(s3_environment, folder, bucket, "all/docs")
        return f"s3://{bucket}/all/docs"

    return upload


@pytest.fixture
def client(s3_environment: str) -> Any:
    """Whoever else writes to the server."""
    return boto3.client("s3", endpoint_url=s3_environment, config=Config(s3={"addressing_style": "path"}))


def test_the_newer_date_is_loaded_and_then_recognised(
    cli: Cli, docs_lake: DocsLake, database: Database, put: Put
) -> None:
    """As from a folder: known changes, nothing to do the second time, also for a source that ends with a slash."""
    url = put(docs_lake.path)
    options = ("--key", "name", "--mode", "snapshot")
    load(cli, url, "--date", "2026-01-01", *options)

    second = load(cli, url, *options)
    before = versions(database, "module", "name")
    third = load(cli, f"{url}/", *options)

    for entity, changes in docs_lake.changes.items():
        assert counts(second[entity, "import"])[:3] == (changes.inserted, changes.updated, changes.deleted)
        assert third[entity, "import"]["state"] == "nothing to do"
    assert versions(database, "module", "name") == before
    assert rows(database, "select file from pgpipe.load_file where entity = 'module' order by 1") == [
        (f"{url}/2026-01-02/module/part-0000{n}.parquet",) for n in (0, 1)
    ]


def test_a_copy_of_a_snapshot_is_recognised(cli: Cli, lake: Lake, put: Put) -> None:
    """By the ETags, without reading it."""
    lake.put("2026-01-01", "p", [{"id": 1}])
    lake.put("2026-01-02", "p", [{"id": 1}])
    url = put(lake.path)
    load(cli, url, "--date", "2026-01-01", "--key", "id", "--mode", "snapshot")

    stage = load(cli, url, "--key", "id", "--mode", "snapshot")["p", "import"]

    assert stage["note"] == "the same bytes as the snapshot before: 1 file recognised"


def test_a_whole_bucket_may_be_the_source(cli: Cli, lake: Lake, client: Any, database: Database) -> None:
    """Without a prefix; odd names, and objects that stand for folders, do no harm."""
    client.create_bucket(Bucket="whole")
    body = lake.put("x", "x", [{"id": 1}]).read_bytes()
    client.put_object(Bucket="whole", Key="2026/01/02/a b+c%25/part=ü/0.parquet", Body=body)
    client.put_object(Bucket="whole", Key="2026/01/02/a b+c%25/", Body=b"")

    load(cli, "s3://whole", "--key", "id")

    assert rows(database, 'select id from "a b+c%25"') == [(1,)]


@pytest.mark.usefixtures("s3_environment")
def test_no_such_bucket(cli: Cli) -> None:
    """One line, exit code 3."""
    fails(cli("load", "--source", "s3://no-such-bucket/x"), 3, "s3://no-such-bucket/x: the bucket does not exist")


def test_no_date_folder(cli: Cli, client: Any) -> None:
    """An empty bucket, a prefix that is not there, folders that are no dates."""
    client.create_bucket(Bucket="dateless")
    client.put_object(Bucket="dateless", Key="products/a.parquet", Body=b"")

    for url in ("s3://dateless", "s3://dateless/products", "s3://dateless/no/such/prefix"):
        fails(cli("load", "--source", url), 3, f"{url} has no date folder; expected one such as 2026-11-22/ENTITY")


@pytest.mark.usefixtures("s3_environment")
def test_a_bucket_name_that_cannot_be(cli: Cli) -> None:
    """The reason is in the same line."""
    fails(cli("load", "--source", "s3://No_Such%Bucket/x"), 3, "s3://No_Such%Bucket/x: ", "Invalid bucket name")


@pytest.mark.usefixtures("s3_environment")
@pytest.mark.parametrize(
    ("endpoint", "code", "part"),
    [
        ("http://127.0.0.1:1", 3, "s3://b/x: the server does not answer: Could not connect to the endpoint URL"),
        ("localhost:9000", 2, "source.endpoint_url is 'localhost:9000'; write http://host:port"),
    ],
)
def test_a_wrong_endpoint(cli: Cli, monkeypatch: pytest.MonkeyPatch, endpoint: str, code: int, part: str) -> None:
    """Nobody there, or no address."""
    monkeypatch.setattr("pgpipe.source.s3.TRIES", 1)  # else botocore waits for the server to come back
    monkeypatch.setenv("PGPIPE_SOURCE__ENDPOINT_URL", endpoint)

    fails(cli("load", "--source", "s3://b/x"), code, part)


@pytest.mark.usefixtures("s3_environment")
def test_no_credentials(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says where they may be put."""
    for name in store.ENVIRONMENT:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    fails(cli("load", "--source", "s3://b/x"), 3, "s3://b/x: no credentials; set AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("PGPIPE_SOURCE__PROFILE", "nobody")
    fails(cli("load", "--source", "s3://b/x"), 3, "s3://b/x: ", "nobody")


@pytest.fixture
def listed(s3_environment: str, lake: Lake, put: Put) -> Callable[..., tuple[Any, File]]:
    """A source at an endpoint, and its only file as it was listed; the file has a megabyte."""
    lake.put("2026-01-01", "p", pa.table({"blob": [bytes([n]) * 1000 for n in range(256)] * 4}), compression="none")
    url = put(lake.path)

    def open_at(endpoint: str = s3_environment) -> tuple[Any, File]:
        source = open_source(SourceSettings(url=url, endpoint_url=endpoint, addressing_style="path"))
        return source, next(source.files("2026-01-01"))

    return open_at


def test_an_object_that_is_overwritten_is_named(listed: Callable[..., tuple[Any, File]], client: Any) -> None:
    """Between listing and reading, or while it is read; nothing of the new version is taken for the old one."""
    source, file = listed()
    bucket, _, prefix = source.url.removeprefix("s3://").partition("/")
    with source.open(file) as stream:
        assert stream.read(4) == b"PAR1"
        client.put_object(Bucket=bucket, Key=f"{prefix}/{file.path}", Body=b"PAR1" + bytes(file.bytes - 4))
        with pytest.raises(SourceError, match=f"{file.uri}: it was overwritten while it was read; load again"):
            stream.read(4)
    client.delete_object(Bucket=bucket, Key=f"{prefix}/{file.path}")
    with source.open(file) as stream, pytest.raises(SourceError, match=f"{file.uri}: the object is gone"):
        stream.read(4)


def test_a_server_that_ignores_if_match_is_caught(listed: Callable[..., tuple[Any, File]]) -> None:
    """The ETag of every answer is compared."""
    source, file = listed()
    source._client.meta.events.register(
        "before-sign.s3.GetObject", lambda request, **_: request.headers.__delitem__("If-Match")
    )
    other = File(file.path, file.uri, "0" * 32, file.bytes, file.modified)

    with source.open(other) as stream, pytest.raises(SourceError, match="it was overwritten while it was read"):
        stream.read(4)


@pytest.fixture
def faults(s3_environment: str) -> Iterator[tuple[str, Faults]]:
    """A proxy before the server."""
    made = Faults()
    with proxy(s3_environment, made) as endpoint:
        yield endpoint, made


def test_a_body_that_breaks_off_is_read_on(
    listed: Callable[..., tuple[Any, File]], faults: tuple[str, Faults], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From where it broke: as often as it takes while something comes, and every byte is right."""
    monkeypatch.setattr("pgpipe.source.s3.PAUSE", 0.001)
    endpoint, fault = faults
    source, file = listed(endpoint)
    fault.keep, fault.times = 0.5, 8

    with source.open(file) as stream:
        read = pq.read_table(stream)

    assert fault.cut == 8
    assert read == pa.table({"blob": [bytes([n]) * 1000 for n in range(256)] * 4})


def test_a_server_that_always_breaks_off_is_named(
    listed: Callable[..., tuple[Any, File]], faults: tuple[str, Faults], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for ever: five times without a byte are enough."""
    monkeypatch.setattr("pgpipe.source.s3.PAUSE", 0.001)
    endpoint, fault = faults
    source, file = listed(endpoint)
    fault.keep, fault.times = 0.0, -1

    with source.open(file) as stream, pytest.raises(SourceError, match=f"{file.uri}: the server broke off 5 times"):
        stream.read(1000)

    assert fault.cut == 5


def test_a_load_over_a_faulty_network(
    cli: Cli, lake: Lake, put: Put, database: Database, faults: tuple[str, Faults], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrives whole."""
    monkeypatch.setattr("pgpipe.source.s3.PAUSE", 0.001)
    endpoint, fault = faults
    monkeypatch.setenv("PGPIPE_SOURCE__ENDPOINT_URL", endpoint)
    for n in range(4):
        lake.put("2026-01-01", "p", [{"id": 100 * n + i, "text": str(i) * 50} for i in range(100)], f"{n}.parquet")
    url = put(lake.path)
    fault.keep, fault.times = 0.7, 12

    load(cli, url, "--key", "id", "--jobs", "3")

    assert fault.times == 0
    assert rows(database, "select count(*), sum(id), sum(length(text)) from p") == [(400, 79800, 4 * (10 + 180) * 50)]
