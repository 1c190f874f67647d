"""S3 servers whose ETag does not change with the bytes: nothing is taken for something else, nothing comes twice."""

import os
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pyarrow as pa
import pytest
from botocore.config import Config

from pgpipe.db import Database
from pgpipe.doctor.source import examine
from pgpipe.errors import SourceError
from pgpipe.settings.source import SourceSettings
from pgpipe.source import open_source
from tests.conftest import Cli, Lake
from tests.flow.faults import Faults, proxy
from tests.flow.support import counts, load, rows

CONSTANT = "5d41402abc4b2a76b9719d911017c592"
WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
Upload = Callable[[str, str], None]


@pytest.fixture
def server(s3_environment: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """A server that states one ETag for all objects, and when they were written, as the test says."""
    stated = Faults()
    stated.etag, stated.modified = "", WRITTEN
    with proxy(s3_environment, stated) as endpoint:
        monkeypatch.setenv("PGPIPE_SOURCE__ENDPOINT_URL", endpoint)
        yield stated


@pytest.fixture
def bucket(s3_environment: str) -> tuple[Any, str]:
    """A client of whoever writes the lake, and a bucket."""
    client = boto3.client("s3", endpoint_url=s3_environment, config=Config(s3={"addressing_style": "path"}))
    name = f"weak-{uuid.uuid4().hex[:8]}"
    client.create_bucket(Bucket=name)
    return client, name


@pytest.fixture
def upload(bucket: tuple[Any, str], lake: Lake) -> Upload:
    """Put the files of an entity of a date: two of different sizes, which depend on nothing but the text's length."""
    client, name = bucket

    def put(day: str, text: str) -> None:
        for part, size in enumerate((2, 20)):
            table = pa.table({"id": range(part * 100, part * 100 + size), "text": [text] * size})
            file = lake.put(day, "product", table, f"part-{part}.parquet", compression="none", use_dictionary=False)
            client.put_object(Bucket=name, Key=str(file.relative_to(lake.path)), Body=file.read_bytes())

    return put


@pytest.mark.parametrize(("mode", "etag"), [("upsert", ""), ("snapshot", CONSTANT)])
def test_an_object_that_is_overwritten_is_loaded(
    cli: Cli, server: Faults, bucket: tuple[Any, str], upload: Upload, database: Database, mode: str, etag: str
) -> None:
    """L4: by as many bytes, under the same ETag; so is a later date's; unchanged, nothing is done."""
    server.etag, url, options = etag, f"s3://{bucket[1]}", ("--key", "id", "--mode", mode)
    upload("2026-01-01", "one")
    load(cli, url, *options)
    assert load(cli, url, *options)["product", "import"]["state"] == "nothing to do"

    upload("2026-01-01", "two")
    server.modified = WRITTEN + HOUR
    assert counts(load(cli, url, *options)["product", "import"]) == (0, 22, 0, 0)
    upload("2026-01-02", "six")
    assert counts(load(cli, url, *options)["product", "import"]) == (0, 22, 0, 0)
    assert rows(database, "select distinct text from product") == [("six",)]


def test_what_was_appended_is_not_appended_again(
    cli: Cli, server: Faults, bucket: tuple[Any, str], upload: Upload, database: Database
) -> None:
    """L4: the ledger of 0.1.0 knows the bare ETag; it holds for files that have not changed since their load."""
    url = f"s3://{bucket[1]}"
    upload("2026-01-01", "one")
    load(cli, url)
    with database.connect(autocommit=True) as conn:
        conn.execute("update pgpipe.load_file set etag = ''")

    assert load(cli, url)["product", "import"]["state"] == "nothing to do"
    server.modified = datetime.now(UTC) + HOUR
    assert counts(load(cli, url)["product", "import"]) == (22, 0, 0, 0)
    assert load(cli, url)["product", "import"]["state"] == "nothing to do"
    assert rows(database, "select count(*) from product") == [(44,)]


def test_a_read_is_pinned_without_an_etag(server: Faults, bucket: tuple[Any, str], upload: Upload) -> None:
    """L4: by the time, the size and, if there is one, the version of each answer; the error names the file."""
    client, name = bucket
    upload("2026-01-01", "one")
    source = open_source(SourceSettings(url=f"s3://{name}", endpoint_url=_endpoint(), addressing_style="path"))

    def overwritten(change: Callable[[], object]) -> None:
        server.modified = WRITTEN
        file = next(source.files("2026-01-01"))
        assert not file.strong
        with source.open(file) as stream:
            assert stream.read(4) == b"PAR1"
            change()
            with pytest.raises(SourceError, match=f"{file.uri}: it was overwritten while it was read; load again"):
                stream.read(4)

    overwritten(lambda: setattr(server, "modified", WRITTEN + HOUR))
    key = "2026-01-01/product/part-0.parquet"
    overwritten(lambda: client.put_object(Bucket=name, Key=key, Body=b"PAR1 of another size"))
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"PAR1same size", b"PAR1size same"):
        client.put_object(Bucket=name, Key=key, Body=body)
    overwritten(lambda: client.put_object(Bucket=name, Key=key, Body=b"PAR1same SIZE"))


def _endpoint() -> str:
    return os.environ["PGPIPE_SOURCE__ENDPOINT_URL"]


@pytest.mark.usefixtures("server")
def test_doctor_warns(bucket: tuple[Any, str], upload: Upload) -> None:
    """L4: it says how many files are concerned and what to do."""
    upload("2026-01-01", "one")
    settings = SourceSettings(url=f"s3://{bucket[1]}", endpoint_url=_endpoint(), addressing_style="path")

    (finding,) = [found for found in examine(settings) if found.check == "ETags"]

    assert finding.state == "warning"
    assert finding.message.startswith("2 of 2 files have an ETag that need not change with the bytes")
    assert "let the server compute hashes" in finding.todo
