"""Layouts beside date first: dates below entities, folders between, a layout that the user writes."""

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgpipe.errors import SourceError, UsageError
from pgpipe.settings.check import settings_of
from pgpipe.settings.source import SourceSettings
from pgpipe.source import Source, open_source
from pgpipe.source.dates import choose_date, choose_dates, find_newest
from pgpipe.source.layout import Lake
from tests.unit.test_contents import MAGIC, Memory

OLD, DAY = date(2026, 11, 20), date(2026, 11, 22)
FORMS = ["{e}/dt={d}", "{e}/{d}", "{e}/{d:%Y}/{d:%m}/{d:%d}", "{e}/year={d:%Y}/month={d.month}/day={d.day}"]
BETWEEN = ["region=eu/{e}/dt={d}", "{e}/region=eu/dt={d}", "region=eu/{d}/{e}", "{d}/region=eu/{e}"]


def memory(*paths: str) -> Memory:
    """A source with these files."""
    return Memory(dict.fromkeys(paths, MAGIC))


def put(root: Path, *paths: str) -> Source:
    """The same on disk."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return open_source(SourceSettings(url=f"file://{root}"))


@pytest.mark.parametrize("form", FORMS)
def test_dates_below_entities(form: str) -> None:
    """Spark, Hive and Glue write the entity first; each entity has dates of its own, and its newest one counts."""
    folders = [form.format(e=e, d=d) for e, d in (("product", OLD), ("product", DAY), ("review", OLD))]
    lake = Lake(memory(*(f"{folder}/part-0.parquet" for folder in folders)))

    assert lake.by_entity
    assert (lake.dates(), lake.dates("review"), lake.entity_names()) == ([OLD, DAY], [OLD], ["product", "review"])
    assert [(f.entity, f.date, len(f.files)) for f in find_newest(lake, "any", lake.entity_names())] == [
        ("product", DAY, 1),
        ("review", OLD, 1),
    ]
    assert [f.entity for f in lake.entities(OLD)] == ["product", "review"]
    assert [f.files[0].path for f in lake.entities(DAY)] == [f"{folders[1]}/part-0.parquet"]
    assert choose_dates(lake, "2026-11-01..", "any") == [OLD, DAY]


@pytest.mark.parametrize("form", BETWEEN)
def test_folders_between(form: str) -> None:
    """Folders such as region=eu/ may lie on any level: they are parts of one entity, and what they say is a column."""
    paths = [form.format(e="product", d=DAY).replace("=eu", f"={region}") for region in ("eu", "us")]
    (files,) = Lake(memory(*(f"{path}/part-0.parquet" for path in paths))).entities(DAY)

    assert files.entity == "product"
    assert [file.path for file in files.files] == [f"{path}/part-0.parquet" for path in paths]
    assert files.folders == tuple((p, (("region", r),)) for p, r in zip(paths, ("eu", "us"), strict=True))


@given(st.permutations(["{entity}", "{date}", "{region}", "fix", "*"]), st.sampled_from(["", "dt=", "a b "]))
def test_a_layout_is_read_as_it_is_written(parts: list[str], before: str) -> None:
    """Whatever the order of its folders: entity, date and columns are what stands in their places."""
    layout = "/".join(parts).replace("{date}", before + "{date}")
    path = layout.format(entity="Ä b", date="2026-11-22", region="eu").replace("*", "v7")
    lake = Lake(memory(f"{path}/p.parquet"), layout)

    (files,) = lake.entities(DAY)

    assert (files.entity, files.folders) == ("Ä b", ((path, (("region", "eu"),)),))


def test_a_layout_of_year_month_and_day() -> None:
    """Each in a folder of its own; an entity that is named like a date is what the layout says."""
    lake = Lake(memory("2026-01-01/y2026/11/22/p.parquet"), "{entity}/y{year}/{month}/{day}")

    assert [(f.entity, f.date, len(f.files)) for f in lake.entities(DAY)] == [("2026-01-01", DAY, 1)]


def test_two_folders_of_a_layout() -> None:
    """If only a * tells them apart, the entity is refused; a name in its place makes both parts of it."""
    source = memory("x/2026-11-22/p/a.parquet", "y/2026-11-22/p/a.parquet", "y/2026-11-22/q/a.parquet")

    twice, single = Lake(source, "*/{date}/{entity}").entities(DAY)
    assert twice.problem == "both 'x/2026-11-22/p' and 'y/2026-11-22/p' stand for 2026-11-22; keep one"
    assert (single.problem, len(single.files)) == ("", 1)
    assert [len(f.files) for f in Lake(source, "{shop}/{date}/{entity}").entities(DAY)] == [2, 1]


def test_a_layout_that_does_not_fit() -> None:
    """It is refused in one line that shows what was looked for and what is there."""
    lake = Lake(memory("product/dt=2026-11-22/p.parquet"), "{entity}/day={date}")

    with pytest.raises(SourceError) as caught:
        lake.dates()
    assert str(caught.value) == (
        "source.layout = '{entity}/day={date}' does not fit memory://lake: it has no folder such as"
        " product/day=2026-11-22/, but for example product/dt=2026-11-22/"
    )


@pytest.mark.parametrize(
    ("layout", "why"),
    [
        ("{entiy}/{date}", "needs {entity}, and either {date}"),
        ("{entity}", "needs {entity}, and either {date}"),
        ("{entity}/{year}/{month}", "needs {entity}, and either {date}"),
        ("{entity}/{date}/{year}", "needs {entity}, and either {date}"),
        ("{entity}/{entity}/{date}", "has {entity} twice"),
        ("{entity}/{}/{date}", "has a placeholder without a name"),
        ("{entity/{date}", "has a placeholder without a name"),
    ],
)
def test_a_layout_that_cannot_be(layout: str, why: str) -> None:
    """The line names the setting and what it lacks."""
    with pytest.raises(UsageError, match=f"source.layout: .*{why}"):
        settings_of([("pgpipe.toml", {"source": {"layout": layout}})])


def test_both_kinds_in_one_bucket() -> None:
    """Beside date folders no other folder is an entity; it is named. Apart from each other, both kinds are refused."""
    lake = Lake(memory("2026-11-22/product/p.parquet", "review/dt=2026-11-22/p.parquet"))

    assert [files.entity for files in lake.entities(DAY)] == ["product"]
    assert lake.left_out == ["review"]
    assert [f.entity for f in Lake(lake.source, "{entity}/dt={date}").entities(DAY)] == ["review"]
    apart = Lake(memory("region=eu/2026-11-22/product/p.parquet", "review/dt=2026-11-22/p.parquet"))
    with pytest.raises(SourceError, match=r"'region=eu/2026-11-22' is a date .* 'review/dt=2026-11-22' a date in an e"):
        apart.dates()


def test_an_entity_that_is_named_like_a_date() -> None:
    """Below a date it is refused by name; a number of four digits is an entity if no months lie in it."""
    (odd, plain) = Lake(memory("2026-11-22/2026-11-21/p.parquet", "2026-11-22/a/p.parquet")).entities(DAY)
    assert "2026-11-22/2026-11-21 lies in the folder of 2026-11-22 and is named like a date too" in odd.problem
    assert (plain.entity, plain.problem, len(plain.files)) == ("a", "", 1)

    (number,) = Lake(memory("2026/dt=2026-11-22/p.parquet")).entities(DAY)
    assert (number.entity, len(number.files)) == ("2026", 1)


def test_two_folders_of_one_date_of_an_entity() -> None:
    """They are refused, unless a folder between says what is different."""
    lake = Lake(memory("p/dt=2026-11-22/a.parquet", "p/2026-11-22/a.parquet"))

    with pytest.raises(SourceError, match="'p/2026-11-22' and 'p/dt=2026-11-22' stand for 2026-11-22"):
        lake.dates()


def test_a_table_of_another_format_with_dates() -> None:
    """A partitioned Delta table is refused by name, and the other entities are not."""
    lake = Lake(memory("t/dt=2026-11-22/p.parquet", "t/_delta_log/0.json", "u/dt=2026-11-22/p.parquet"))

    table, plain = lake.entities(DAY)
    assert "memory://lake/t is a Delta Lake table" in table.problem
    assert (table.files, len(plain.files)) == ((), 1)
    with pytest.raises(SourceError, match="is a Delta Lake table"):
        Lake(memory("t/data/p.parquet", "t/_delta_log/0.json")).dates()


@pytest.mark.parametrize(
    ("marks", "newest"),
    [
        ([], None),
        (["product/dt=2026-11-22/_SUCCESS"], DAY),
        (["product/dt=2026-11-20/_SUCCESS"], OLD),
        (["product/_SUCCESS"], DAY),
        (["product/dt=2026-11-22/region=eu/_SUCCESS", "review/_SUCCESS"], None),
    ],
)
def test_success_gate_below_entities(tmp_path: Path, marks: list[str], newest: date | None) -> None:
    """Spark's mark lies in the date's folder, or in the entity's: there it counts for what is not newer than it."""
    files = [f"{e}/dt={d}/p.parquet" for e in ("product", "review") for d in (OLD, DAY)]
    source = put(tmp_path, *files, *marks, "review/dt=2026-11-20/_SUCCESS")

    product, review = find_newest(Lake(source), "_SUCCESS", ["product", "review"])

    assert (product.problem == "", product.date) == (newest is not None, newest or DAY)
    assert review.date == (DAY if "review/_SUCCESS" in marks else OLD)


def test_success_gate_of_a_layout(tmp_path: Path) -> None:
    """The mark may lie in the folder that a layout ends with."""
    lake = Lake(put(tmp_path, "p/2026-11-22/v1/a.parquet", "p/2026-11-22/v1/_SUCCESS"), "{entity}/{date}/v1")

    assert lake.is_complete(DAY, "_SUCCESS", "p")
    (tmp_path / "p/2026-11-22/v1/_SUCCESS").unlink()
    assert not lake.is_complete(DAY, "_SUCCESS", "p")


def test_an_old_mark_of_the_entity(tmp_path: Path) -> None:
    """What was written after the mark of the entity's folder is not complete, and the date before it counts."""
    source = put(tmp_path, "p/dt=2026-11-20/a.parquet", "p/_SUCCESS", "p/dt=2026-11-22/a.parquet")
    now = datetime.now(UTC)
    for name, minutes in (("p/dt=2026-11-20/a.parquet", 20), ("p/_SUCCESS", 15), ("p/dt=2026-11-22/a.parquet", 9)):
        written = (now - timedelta(minutes=minutes)).timestamp()
        os.utime(tmp_path / name, (written, written))
    lake = Lake(source)

    assert [f.date for f in find_newest(lake, "_SUCCESS", ["p"])] == [OLD]
    assert choose_date(lake, "latest", "_SUCCESS") == OLD
    assert lake.is_complete(DAY, "age:8m", "p", now)
    assert not lake.is_complete(DAY, "age:10m", "p", now)
    with pytest.raises(SourceError, match=r"no complete date: source\.complete is 'age:1h'"):
        find_newest(lake, "age:1h", ["p"])


class Counted(Memory):
    """A source that counts what it is asked to list."""

    asked = 0

    def folders(self, under: str) -> list[str]:
        """As ever."""
        self.asked += 1
        return super().folders(under)

    def files(self, under: str) -> Iterator:
        """As ever."""
        self.asked += 1
        return super().files(under)


@pytest.mark.parametrize(
    ("form", "most"), [("{d}/{e}", 5), ("{e}/dt={d}", 7), ("{d:%Y}/{d:%m}/{d:%d}/{e}", 42), (FORMS[2], 120)]
)
def test_few_requests(form: str, most: int) -> None:
    """A lake of 1,000 dates and three entities is listed by folders; no date but the one that counts is opened."""
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(1000)]
    source = Counted({f"{form.format(e=e, d=d)}/p.parquet": MAGIC for e in "abc" for d in days})
    lake = Lake(source)

    listed = find_newest(lake, "any")

    assert [(f.date, len(f.files)) for f in listed] == [(days[-1], 1)] * 3
    assert source.asked <= most
