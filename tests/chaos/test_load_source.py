"""S3 fails under a load: it refuses, is slow, stalls, breaks off, or somebody overwrites an object half-way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from pgpipe.db import Database
from pgpipe.demo import store
from tests.chaos.support import MODES, NEWER, OLDER, Ended, Load, State, agrees, build, state
from tests.fixtures.examples import one_in
from tests.flow.faults import Faults, proxy

BUCKET = "chaos"
IMPATIENT = """
from importlib import import_module
from pgpipe.cli import main
retry, s3 = import_module("pgpipe.db.retry"), import_module("pgpipe.source.s3")
retry.PAUSES, s3.PAUSE, s3.SILENCE, s3.TRIES = (0.01, 0.01, 0.01), 0.001, 0.5, 2
main()
"""


@pytest.fixture
def faults(s3_environment: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """A faulty network before the S3 server; loads go through it, and do not wait long."""
    made = Faults()
    with proxy(s3_environment, made) as endpoint:
        monkeypatch.setenv("PGPIPE_SOURCE__ENDPOINT_URL", endpoint)
        yield made


@pytest.fixture
def client(s3_environment: str, tmp_path: Path) -> Iterator[Any]:
    """Whoever else writes to the bucket that holds the lake."""
    build(tmp_path / "lake")
    store.upload(s3_environment, tmp_path / "lake", BUCKET, "all")
    client = boto3.client("s3", endpoint_url=s3_environment, config=Config(s3={"addressing_style": "path"}))
    yield client
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for item in page["Contents"]:
            client.delete_object(Bucket=BUCKET, Key=item["Key"])
    client.delete_bucket(Bucket=BUCKET)


def load(database: Database, day: str) -> Ended:
    """A snapshot of a date, by a loader that does not wait long."""
    return Load(database, f"s3://{BUCKET}/all", *MODES["merge"], "--date", day, program=("-c", IMPATIENT)).end()


def held(database: Database) -> tuple[State, bool]:
    """The target, and whether the ledger agrees."""
    with database.connect(autocommit=True) as conn:
        return state(conn), agrees(conn, "snapshot")


FAULTS = {
    "500 and 503": {"refuse": [500, 503, 503]},
    "503 for longer than a request is retried": {"refuse": [503] * 5},
    "every other body breaks off": {"keep": 0.5, "times": 12},
    "a body stalls": {"stall": 2.0},
    "slow": {"slow": 0.005},
}
CASES = one_in(2, [(fault, OLDER) for fault in FAULTS]) + [
    pytest.param(fault, NEWER, id=f"{fault}-merge", marks=pytest.mark.long) for fault in FAULTS
]
ONCE = [pytest.param(OLDER, id="first load", marks=pytest.mark.long), pytest.param(NEWER, id="merge")]


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(("fault", "day"), CASES)
def test_a_source_that_falters(database: Database, faults: Faults, fault: str, day: str) -> None:
    """The load completes in one run, with the rows that an undisturbed one brings."""
    if day == NEWER:
        assert load(database, OLDER).code == 0
    for name, value in FAULTS[fault].items():
        setattr(faults, name, list(value) if isinstance(value, list) else value)

    result = load(database, day)

    assert result.code == 0, result
    assert (faults.refuse, faults.times, faults.stall) == ([], 0, 0)  # what was asked for did happen
    found, agreed = held(database)
    assert (found or (0,))[0] == (40_000 if day == OLDER else 50_000)
    assert agreed


@pytest.mark.parametrize("day", ONCE)
def test_a_source_that_is_lost_for_good(database: Database, faults: Faults, client: Any, day: str) -> None:
    """One line, the old state, and once the source is back the next run completes."""
    if day == NEWER:
        assert load(database, OLDER).code == 0
    before = held(database)
    faults.keep, faults.times = 0.0, -1

    lost = load(database, day)
    after = held(database)
    faults.times = 0
    again = load(database, day)

    assert lost.code == 3, lost
    assert "the server broke off 2 times" in lost.said.splitlines()[-1]
    assert after == before == (before[0], True)
    assert again.code == 0, again
    assert held(database)[1]
    assert client


@pytest.mark.parametrize("day", ONCE)
def test_another_object_under_the_same_key(database: Database, faults: Faults, client: Any, day: str) -> None:
    """Put there when some files have been read: no row of the mixture is kept, and the next run takes the new one."""
    if day == NEWER:
        assert load(database, OLDER).code == 0
    before = held(database)
    key = f"all/{day}/item/part-3.parquet"
    other = client.get_object(Bucket=BUCKET, Key=f"all/{day}/item/part-1.parquet")["Body"].read()
    count = 4 if day == OLDER else 5  # the footers have been read by then

    def overwrite() -> None:
        nonlocal count
        count -= 1
        if count:
            faults.after = overwrite
        else:
            client.put_object(Bucket=BUCKET, Key=key, Body=other)

    faults.after = overwrite

    mixed = load(database, day)

    assert mixed.code == 3, mixed
    assert f"s3://{BUCKET}/{key}: it was overwritten while it was read; load again" in mixed.said
    assert held(database) == before
    twice = load(database, day)  # part-1 and part-3 are the same rows now
    assert (twice.code, "the key (id) is not unique" in twice.said) == (1, True)
    assert held(database) == before
    client.delete_object(Bucket=BUCKET, Key=key)
    assert load(database, day).code == 0
    assert held(database)[1]
