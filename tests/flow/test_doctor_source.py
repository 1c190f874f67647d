"""Doctor on the source: folders, S3 and its rights."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

import boto3
import pytest

from pgpipe.demo import store
from tests.conftest import Cli, Lake
from tests.flow.test_doctor import ROWS, examine, only


def test_a_source_that_cannot_be_used(cli: Cli, lake: Lake) -> None:
    """None, no folder, no date, nothing in the date, no Parquet: each is named, and the rest is looked at."""
    assert only(examine(cli), "source")[0] == "warning"
    found = examine(cli, "--source", f"{lake.url}/none", code=3)
    assert only(found, "source") == ("failure", f"the folder {lake.path}/none does not exist", "")
    assert only(found, "database")[0] == "ok"
    assert "has no date folder" in examine(cli, "--source", lake.url, code=3)["source"][-1]["message"]
    (lake.path / "2026-01-01" / "product").mkdir(parents=True)
    assert only(examine(cli, "--source", lake.url, code=3), "latest date")[0] == "failure"
    (lake.path / "2026-01-01" / "product" / "a.parquet").write_text("not at all")
    assert "is not a Parquet file" in only(examine(cli, "--source", lake.url, code=1), "reading")[1]


@contextmanager
def guard(endpoint: str, deny: str = "", clock: timedelta = timedelta()) -> Iterator[str]:
    """An S3 server that refuses what the key may not do (`list` or `read`), and whose clock is wrong."""
    upstream = urlsplit(endpoint)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if deny == ("list" if "list-type" in self.path else "read"):
                status, headers = 403, {}
                body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            else:
                server = HTTPConnection(upstream.hostname or "", upstream.port)
                server.request("GET", self.path, headers=dict(self.headers))
                answer = server.getresponse()
                status, body = answer.status, answer.read()
                headers = {
                    k: v for k, v in answer.getheaders() if k.lower() in {"etag", "content-range", "content-type"}
                }
            self.send_response_only(status)
            self.send_header("Date", (datetime.now(UTC) + clock).strftime("%a, %d %b %Y %H:%M:%S GMT"))
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_s3(cli: Cli, s3_environment: str, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Well; no such bucket; listing denied; reading denied; a clock that is an hour off; no server at all."""
    client = boto3.client("s3", endpoint_url=s3_environment)
    client.create_bucket(Bucket="doctor")
    client.upload_file(str(lake.put("2026-01-01", "product", ROWS)), "doctor", "in/2026-01-01/product/a.parquet")
    url = "s3://doctor/in"

    found = examine(cli, "--source", url)
    assert [only(found, check)[0] for check in ("source", "source clock", "latest date", "reading")] == ["ok"] * 4
    assert "the bucket does not exist" in only(examine(cli, "--source", "s3://nobody/in", code=3), "source")[1]
    for deny, check, words in (("list", "source", "s3:ListBucket"), ("read", "reading", "s3:GetObject")):
        with guard(s3_environment, deny) as address:
            monkeypatch.setenv("PGPIPE_SOURCE__ENDPOINT_URL", address)
            state, message, _ = only(examine(cli, "--source", url, code=3), check)
            assert (state, words in message) == ("failure", True)
    with guard(s3_environment, clock=timedelta(hours=1)) as address:
        monkeypatch.setenv("PGPIPE_SOURCE__ENDPOINT_URL", address)
        state, message, todo = only(examine(cli, "--source", url), "source clock")
        assert (state, "behind it" in message, todo) == ("warning", True, "set the clocks: timedatectl set-ntp true")
    monkeypatch.setenv("PGPIPE_SOURCE__ENDPOINT_URL", address)
    assert only(examine(cli, "--source", url, code=3), "source")[0] == "failure"
    assert store.ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in cli("doctor", "--source", url, "--skip-model").out
