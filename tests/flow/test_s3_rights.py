"""L24, L29: whose buckets can be read, by which settings, and what is said to somebody who may not."""

import os
import uuid
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from pgpipe.db import Database
from pgpipe.demo import store
from pgpipe.errors import SourceError
from pgpipe.settings.source import SourceSettings
from pgpipe.source import open_source
from tests.conftest import Cli, Lake
from tests.flow.faults import Faults, proxy
from tests.flow.support import fails, load, rows

DENIED = (403, "AccessDenied", "Access Denied")
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab"
Given = tuple[str, Faults]


@pytest.fixture
def given(s3_environment: str, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Given]:
    """A lake of one file in a bucket, behind a server that judges requests as AWS does; its url."""
    lake.put("2026-01-01", "p", [{"id": 1}])
    bucket = f"drops-{uuid.uuid4().hex[:8]}"
    store.upload(s3_environment, lake.path, bucket, "all")
    faults = Faults()
    faults.bucket = bucket
    with proxy(s3_environment, faults) as endpoint:
        monkeypatch.setenv("PGPIPE_SOURCE__ENDPOINT_URL", endpoint)
        yield f"s3://{bucket}/all", faults


def arguments(url: str) -> tuple[str, ...]:
    """Of a load that fails."""
    return "load", "--source", url, "--key", "id", "--skip-search", "--skip-embeddings", "--json"


def test_requester_pays(cli: Cli, database: Database, given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """L24: `source.request_payer` says so with each request; without it, the refusal names the setting."""
    url, faults = given
    faults.judge = lambda headers, _path: None if headers["x-amz-request-payer"] == "requester" else DENIED

    fails(cli(*arguments(url)), 3, f"{url}: access is denied: ", "s3:ListBucket", "set source.request_payer = true")
    monkeypatch.setenv("PGPIPE_SOURCE__REQUEST_PAYER", "true")
    load(cli, url, "--key", "id", "--skip-search")

    assert rows(database, "select id from p") == [(1,)]
    monkeypatch.setenv("PGPIPE_SOURCE__ANONYMOUS", "true")
    fails(cli(*arguments(url)), 2, "source.anonymous and source.request_payer cannot both be set")


def without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which boto3 finds none."""
    for name in store.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_a_public_bucket(
    cli: Cli, database: Database, given: Given, s3_environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L24: `source.anonymous` signs nothing and needs no credentials; a bucket that is not public is told apart."""
    url, faults = given
    client = boto3.client("s3", endpoint_url=s3_environment, config=Config(s3={"addressing_style": "path"}))
    client.put_object_acl(Bucket=faults.bucket, Key="all/2026-01-01/p/part-0.parquet", ACL="public-read")
    without_credentials(monkeypatch)
    faults.judge = lambda headers, _path: DENIED if headers["authorization"] else None

    fails(cli(*arguments(url)), 3, "no credentials; set AWS_ACCESS_KEY_ID", "or source.anonymous = true for a public")
    monkeypatch.setenv("PGPIPE_SOURCE__ANONYMOUS", "true")
    load(cli, url, "--key", "id", "--skip-search")

    assert rows(database, "select id from p") == [(1,)]
    faults.judge = lambda _headers, _path: DENIED
    fails(cli(*arguments(url)), 3, "access is denied: it is not public; leave source.anonymous out")


def test_hadoop_names_the_same_bucket(cli: Cli, given: Given) -> None:
    """L24: `s3a://` and `s3n://` are `s3://`, also in the ledger: nothing is loaded twice."""
    url, _ = given
    load(cli, url.replace("s3://", "s3a://"), "--key", "id", "--skip-search")

    assert load(cli, url, "--skip-search")["p", "import"]["state"] == "nothing to do"
    assert open_source(SourceSettings(url=url.replace("s3://", "s3n://"))).url == url


def test_an_access_point(cli: Cli, database: Database, given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """L24: its ARN stands where a bucket does, and a prefix may follow; anything else of that form is refused."""
    _, faults = given
    asked: list[str] = []
    faults.judge = lambda headers, _path: asked.append(headers["host"])
    monkeypatch.setenv("HTTP_PROXY", os.environ["PGPIPE_SOURCE__ENDPOINT_URL"])
    monkeypatch.setenv("PGPIPE_SOURCE__ENDPOINT_URL", "http://s3.test")
    monkeypatch.setenv("PGPIPE_SOURCE__ADDRESSING_STYLE", "auto")
    point = "arn:aws:s3:us-east-1:123456789012:accesspoint/nightly"

    load(cli, f"s3://{point}/all", "--key", "id", "--skip-search")

    assert set(asked) == {"nightly-123456789012.s3.test"}
    assert rows(database, "select file from pgpipe.load_file") == [(f"s3://{point}/all/2026-01-01/p/part-0.parquet",)]
    fails(
        cli(*arguments("s3://arn:aws:s3:::drops/all")), 2, "is not the ARN of an access point; write s3://arn:aws:s3:"
    )


SSE_C = "The object was stored using a form of Server Side Encryption. The correct parameters must be provided"
REFUSALS = [  # status, code and message of S3, and what is said
    (*DENIED, "s3:GetObject on its objects, and kms:Decrypt on the key if they are encrypted with a KMS key"),
    (
        403,
        "AccessDenied",
        f"User: arn:aws:iam::1:user/x is not authorized to perform: kms:Decrypt on resource: {KEY} because no …",
        f"access is denied: the credentials need kms:Decrypt on {KEY}",
    ),
    (400, "KMS.DisabledException", f"{KEY} is disabled.", "the KMS key that it is encrypted with is disabled"),
    (403, "InvalidObjectState", "The operation is not valid", "restore it from Glacier"),
    (400, "InvalidRequest", SSE_C, "(SSE-C), so pgpipe cannot read it"),
    (400, "AuthorizationHeaderMalformed", "the region 'a' is wrong; expecting 'b'", "set source.region"),
]


def test_an_object_that_may_not_be_read(given: Given) -> None:
    """L24: one line says which right, key or step is missing, though the bucket can be listed."""
    url, faults = given
    endpoint = os.environ["PGPIPE_SOURCE__ENDPOINT_URL"]
    source = open_source(SourceSettings(url=url, addressing_style="path", endpoint_url=endpoint))
    (file,) = source.files("")
    for *refusal, said in REFUSALS:
        faults.judge = lambda headers, _path, refusal=tuple(refusal): refusal if headers["range"] else None
        with source.open(file) as stream, pytest.raises(SourceError) as refused:
            stream.read(4)

        assert str(refused.value).startswith(f"{file.uri}: ")
        assert said in str(refused.value)
        assert not refused.value.transient


def test_credentials_in_dotenv(
    cli: Cli, database: Database, given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L29: AWS_* of `.env` are read; the environment has precedence, and credentials of the two never mix."""
    url, faults = given
    keys: list[str] = []
    tokens: list[str | None] = []

    def judge(headers: Message, _path: str) -> None:
        keys.append(headers["authorization"].partition("Credential=")[2].partition("/")[0])
        tokens.append(headers["x-amz-security-token"])

    faults.judge = judge
    without_credentials(monkeypatch)
    for name in ("AWS_SESSION_TOKEN", *store.ENVIRONMENT):  # what the command sets is taken back after the test
        monkeypatch.setenv(name, "")
    lines = [*(f"{name}=here" for name in store.ENVIRONMENT if "REGION" not in name), "AWS_SESSION_TOKEN=passing"]
    (tmp_path / ".env").write_text("\n".join([*lines, "AWS_DEFAULT_REGION=us-east-1"]))

    load(cli, url, "--key", "id", "--skip-search")

    assert (set(keys), set(tokens)) == ({"here"}, {"passing"})
    assert rows(database, "select id from p") == [(1,)]
    for name in store.ENVIRONMENT:
        monkeypatch.setenv(name, "us-east-1" if "REGION" in name else "elsewhere")
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    keys.clear()
    tokens.clear()
    load(cli, url, "--skip-search")
    assert (set(keys), set(tokens)) == ({"elsewhere"}, {None})
