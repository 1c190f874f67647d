"""Layouts: which folders are dates and entities, which files are data, and which date counts."""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgpipe.errors import SourceError, UsageError
from pgpipe.settings.source import SourceSettings
from pgpipe.source import Source, open_source
from pgpipe.source.dates import choose_date
from pgpipe.source.folders import date_of
from pgpipe.source.layout import Lake

DAY = date(2026, 11, 22)
FORMS = ["2026-11-22", "20261122", "2026/11/22", "date=2026-11-22", "dt=20261122", "year=2026/month=11/day=22"]


def lake(root: Path, *files: str) -> Source:
    """A source with these files, all empty."""
    root.mkdir(exist_ok=True)
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return open_source(SourceSettings(url=f"file://{root}"))


@pytest.mark.parametrize("folder", FORMS)
def test_every_common_form_is_a_date(tmp_path: Path, folder: str) -> None:
    """The folder is found, and its entities below it."""
    source = lake(tmp_path, f"{folder}/product/part-0.parquet")

    assert Lake(source).dates() == [DAY]
    assert [(d.entity, d.date, len(d.files)) for d in Lake(source).entities(DAY)] == [("product", DAY, 1)]


@given(st.dates(min_value=date(1000, 1, 1)))
def test_every_date_is_read_back(day: date) -> None:
    """Whatever the day, all forms of it mean it."""
    year, month, last = f"{day:%Y}", f"{day:%m}", f"{day:%d}"

    assert date_of(day.isoformat()) == day
    assert date_of(f"dt={year}{month}{last}") == day
    assert date_of(year, month, last) == day
    assert date_of(f"y={year}", f"m={day.month}", f"d={day.day}") == day


@pytest.mark.parametrize(
    "name", ["2026-13-01", "2026-02-30", "20260230", "2026-1-1", "latest", "v2026-11-22", "2026-11-22-rerun", "x=y", ""]
)
def test_other_names_are_no_dates(name: str) -> None:
    """Days that do not exist, other spellings, and anything around a date."""
    assert date_of(name) is None


def test_what_is_no_date_is_left_out(tmp_path: Path) -> None:
    """Other folders, impossible dates, year folders with something else in them, and files at the top."""
    source = lake(
        tmp_path,
        "2026-11-22/product/a.parquet",
        "2026-02-30/product/a.parquet",
        "2026/13/01/product/a.parquet",
        "2026/notes/todo/a.parquet",
        "archive/2026-11-23/product/a.parquet",
        "_temporary/2026-11-24/a.parquet",
        "2026-11-25",
    )

    assert Lake(source).dates() == [DAY]


def test_two_folders_of_a_date_are_refused(tmp_path: Path) -> None:
    """Nobody could say which of the two counts; both are named."""
    source = lake(tmp_path, "2026-11-22/p/a.parquet", "dt=20261122/p/a.parquet")

    with pytest.raises(SourceError, match=r"'2026-11-22' and 'dt=20261122' stand for 2026-11-22"):
        Lake(source).dates()


def test_nothing_there_is_said(tmp_path: Path) -> None:
    """An empty folder has no date, and the message shows what is expected."""
    source = lake(tmp_path, "product/a.parquet")

    with pytest.raises(SourceError, match="has no date folder; expected one such as 2026-11-22/ENTITY"):
        Lake(source).dates()


def test_the_latest_date_is_chosen_by_its_date(tmp_path: Path) -> None:
    """Not by its name: forms may be mixed."""
    source = lake(tmp_path, "date=2026-11-20/p/a.parquet", "2026/11/22/p/a.parquet", "20261121/p/a.parquet")

    assert choose_date(Lake(source), "latest", "any") == DAY
    assert choose_date(Lake(source), "2026-11-20", "any") == date(2026, 11, 20)
    with pytest.raises(SourceError, match="no folder for 2026-11-19; the latest is 2026-11-22"):
        choose_date(Lake(source), "2026-11-19", "any")


@pytest.mark.parametrize(
    ("marks", "complete"),
    [
        ([], False),
        (["_SUCCESS"], True),
        (["a/_SUCCESS"], False),
        (["a/_SUCCESS", "b/_SUCCESS"], True),
        (["a/region=eu/_SUCCESS", "b/_SUCCESS"], False),
        (["_tmp/_SUCCESS"], False),
    ],
)
def test_success_gate(tmp_path: Path, marks: list[str], complete: bool) -> None:
    """The mark lies in the date folder, or in each of its entity folders."""
    files = ["a/0.parquet", "b/0.parquet", *marks]
    source = lake(tmp_path, "2026-11-21/a/0.parquet", "2026-11-21/_SUCCESS", *(f"2026-11-22/{f}" for f in files))

    assert Lake(source).is_complete(date(2026, 11, 22), "_SUCCESS") is complete
    assert choose_date(Lake(source), "latest", "_SUCCESS") == (DAY if complete else date(2026, 11, 21))
    assert choose_date(Lake(source), "2026-11-22", "_SUCCESS") == DAY  # asked for by name: taken as it is


def test_no_date_is_complete(tmp_path: Path) -> None:
    """The gate and the latest date are named."""
    source = lake(tmp_path, "2026-11-22/a/0.parquet")

    with pytest.raises(SourceError, match=r"no complete date: source\.complete is '_SUCCESS', and the latest is 2026"):
        choose_date(Lake(source), "latest", "_SUCCESS")


def test_age_gate(tmp_path: Path) -> None:
    """A date counts once nothing was written to it for so long; an empty one never."""
    source = lake(tmp_path, "2026-11-22/a/0.parquet", "2026-11-22/a/1.parquet")
    (tmp_path / "2026-11-23").mkdir()
    now = datetime.now(UTC)
    for name, minutes in (("0", 60), ("1", 9)):
        written = (now - timedelta(minutes=minutes)).timestamp()
        os.utime(tmp_path / f"2026-11-22/a/{name}.parquet", (written, written))

    assert Lake(source).is_complete(date(2026, 11, 22), "age:8m", now=now)
    assert Lake(source).is_complete(date(2026, 11, 22), "age:500s", now=now)
    assert not Lake(source).is_complete(date(2026, 11, 22), "age:10m", now=now)
    assert not Lake(source).is_complete(date(2026, 11, 22), "age:1h", now=now)
    assert not Lake(source).is_complete(date(2026, 11, 23), "age:0s", now=now)


def test_only_parquet_files_are_data(tmp_path: Path) -> None:
    """Hive folders inside an entity are; hidden files, marks and what a job left half-written are not."""
    data = ["region=eu/a.parquet", "region=us/day=1/b.snappy.parquet", "_kind=x/c.parquet", "d.parq", "e.PQ", "f.pq"]
    other = [
        "_SUCCESS",
        "_metadata.parquet",
        ".a.parquet.crc",
        ".b.parquet",
        "g.csv",
        "_temporary/0/h.parquet",
        "_spark_metadata/0.parquet",
        ".staging/i.parquet",
        "region=eu/_tmp/j.parquet",
    ]
    source = lake(tmp_path, *(f"2026-11-22/p/{f}" for f in data + other))

    (files,) = Lake(source).entities(DAY)

    assert sorted(f.path.removeprefix("2026-11-22/p/") for f in files.files) == sorted(data)


def test_folders_that_are_no_entities(tmp_path: Path) -> None:
    """Hidden and underscored folders are left out; one without data has no files; names stay as they are."""
    source = lake(
        tmp_path, "2026-11-22/_logs/a.parquet", "2026-11-22/.git/a.parquet", "2026-11-22/b/x.csv", "2026-11-22/Ä b/c.pq"
    )

    assert [(d.entity, len(d.files)) for d in Lake(source).entities(DAY)] == [("b", 0), ("Ä b", 1)]


@pytest.mark.parametrize("url", ["", None, "http://x/y", "/just/a/path", "file://relative/path", "s3://", "s3:///x"])
def test_a_url_of_no_source_is_refused(url: str | None) -> None:
    """The message says what to write."""
    with pytest.raises(UsageError, match="s3://bucket/prefix"):
        open_source(SourceSettings(url=url))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A local source must exist."""
    with pytest.raises(SourceError, match=f"the folder {tmp_path}/none does not exist"):
        open_source(SourceSettings(url=f"file://{tmp_path}/none"))
