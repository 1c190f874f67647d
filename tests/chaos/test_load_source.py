"""The source fails under a load: S3 refuses, is slow, breaks off or changes, and files are damaged or lie. Memory stays bounded."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pgpipe.config import SourceSettings
from pgpipe.db import Database
from pgpipe.demo import store
from tests.chaos.support import MEMORY, MODES, NEWER, OLDER, ROWS, agrees, build, items, run, state
from tests.flow.faults import Faults, proxy


@pytest.fixture
def faults(s3_environment: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """A faulty network before the S3 server; loads go through it."""
    made = Faults()
    with proxy(s3_environment, made) as endpoint:
        monkeypatch.setenv("PGPIPE_SOURCE__ENDPOINT_URL", endpoint)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
        yield made


@pytest.fixture
def bucket(s3_environment: str, tmp_path: Path) -> tuple[str, Any]:
    """The lake in S3, and a client of that server."""
    import boto3

    build(tmp_path / "lake")
    url = store.upload(tmp_path / "lake", s3_environment)
    return url, boto3.client("s3", endpoint_url=s3_environment)
