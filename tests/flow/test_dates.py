"""Which dates a load takes: missed nights, late files, snapshots, rollbacks, dates to come, and what failed."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from pgpipe.db import Database
from pgpipe.source import File
from pgpipe.source.local import LocalSource
from tests.conftest import Cli, Configure, Lake, Result
from tests.flow.support import fails, load, rows, table
from tests.sql.test_metrics import registry

DAYS = [f"2026-01-0{day}" for day in range(1, 8)]


def items(*numbers: int, text: str = "") -> list[dict[str, object]]:
    """Rows of these ids."""
    return [{"id": number, "text": text or f"row {number}"} for number in numbers]


def ids(database: Database, name: str = "product") -> list[object]:
    """The ids in a table, each as often as it is there."""
    return [number for (number,) in rows(database, f'select id from "{name}" order by id')]


def run(cli: Cli, lake: Lake, *options: str, command: str = "load") -> Result:
    """A load that may fail, or a plan."""
    return cli(command, "--source", lake.url, "--skip-search", "--skip-embeddings", "--json", *options)


def taken(result: Result) -> list[Any]:
    """The dates of a load's report, or of a plan."""
    found = json.loads(result.out)
    return [each["date"] for each in (found if isinstance(found, list) else found["dates"])]


def loaded(database: Database, entity: str = "product") -> list[str]:
    """The dates in the ledger."""
    found = "select distinct date::text from pgpipe.load_file where entity = %s order by 1"
    return [day for (day,) in rows(database, found, entity)]


@pytest.mark.parametrize("mode", ["append", "upsert", "snapshot"])
def test_missed_nights_are_caught_up(cli: Cli, lake: Lake, database: Database, configure: Configure, mode: str) -> None:
    """Issue 13: every date that was missed is loaded, oldest first; of snapshots the newest. `plan` shows the same."""
    configure(mode=mode, **({} if mode == "append" else {"key": ["id"]}))
    for place, day in enumerate(DAYS[:4]):
        lake.put(day, "product", [*items(place), *items(100, text=day)])
    load(cli, lake.url, "--date", DAYS[0])

    planned = taken(run(cli, lake, command="plan"))
    result = run(cli, lake)

    assert (result.code, result.err) == (0, "")
    assert planned == taken(result) == (DAYS[3:4] if mode == "snapshot" else DAYS[1:4])
    kept = {"append": [0, 1, 2, 3, 100, 100, 100, 100], "upsert": [0, 1, 2, 3, 100], "snapshot": [3, 100]}[mode]
    assert ids(database) == kept
    assert rows(database, "select max(text) from product where id = 100") == [(DAYS[3],)]
    again = run(cli, lake)
    assert (taken(again), json.loads(again.out)["stages"][0]["state"]) == (DAYS[3:4], "nothing to do")


def test_nothing_loaded_yet(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 13: the first load takes the newest date; `--since` older ones; a snapshot is the newest all the same."""
    configure(key=["id"])
    for place, day in enumerate(DAYS[:3]):
        lake.put(day, "product", items(place))
        lake.put(day, "stock", items(place))
    snapshot = ("--entity", "stock", "--mode", "snapshot", "--key", "id", "--since", DAYS[0])

    assert taken(run(cli, lake, command="plan")) == [DAYS[2]] * 2
    assert taken(run(cli, lake, "--entity", "product", "--since", DAYS[1])) == DAYS[1:3]
    assert taken(run(cli, lake, *snapshot)) == DAYS[2:3]
    assert (ids(database), ids(database, "stock")) == ([1, 2], [2])
    assert taken(run(cli, lake, "--entity", "product", "--since", DAYS[0])) == DAYS[2:3]  # goes on from what is there
    fails(run(cli, lake, "--since", "soon"), 2, "'soon' is not a date")


def test_each_entity_goes_on_from_its_own_date(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 13: one that fails on a date is left alone on its later ones, and the next load goes on there."""
    configure(key=["id"])
    for place, day in enumerate(DAYS[:3]):
        lake.put(day, "product", items(place))
        spoilt = lake.put(day, "review", items(place))
        whole = spoilt.read_bytes()
        if place == 1:
            spoilt.write_bytes(whole[:-20])
            mended = spoilt, whole
    load(cli, lake.url, "--date", DAYS[0], "--key", "id")

    result = run(cli, lake, "--key", "id")

    fails(result, 1, f"{DAYS[1]}: review: ", "cut short")
    assert f"left alone, because {DAYS[1]} failed; to go on without that date: --date {DAYS[2]}.." in result.out
    assert (loaded(database), loaded(database, "review")) == (DAYS[:3], DAYS[:1])
    mended[0].write_bytes(mended[1])
    assert taken(run(cli, lake, "--key", "id")) == DAYS[1:3]
    assert (ids(database, "review"), loaded(database, "review")) == ([0, 1, 2], DAYS[:3])


@pytest.mark.parametrize("kind", ["append", "upsert", pytest.param("ordered", marks=pytest.mark.long)])
def test_late_files(
    cli: Cli, lake: Lake, database: Database, configure: Configure, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Issue 13: with `lookback` a late file is loaded; where it would bury newer rows, it is named and refused."""
    keyed = {} if kind == "append" else {"key": ["id"]}
    configure(
        mode="append" if kind == "append" else "upsert", **keyed, **({"order": ["text"]} if kind == "ordered" else {})
    )
    for day in DAYS[:4]:
        lake.put(day, "product", items(7, text=day))
    load(cli, lake.url, "--since", DAYS[0])
    late = lake.put(DAYS[1], "product", items(7, 8, text=f"{DAYS[1]} late"), "late.parquet")
    lake.put(DAYS[4], "product", items(9))
    assert taken(run(cli, lake, command="plan")) == DAYS[4:5]

    monkeypatch.setenv("PGPIPE_SOURCE__LOOKBACK", "2")
    plan, result = run(cli, lake, command="plan"), run(cli, lake)

    assert taken(plan) == taken(result) == [DAYS[1], DAYS[4]]
    assert plan.code == result.code
    if kind != "upsert":
        assert (result.code, ids(database)) == (0, [7, 7, 7, 7, 7, 8, 9] if kind == "append" else [7, 8, 9])
        assert rows(database, "select max(text) from product where id = 7") == [(DAYS[3],)]
        assert taken(run(cli, lake)) == DAYS[4:5]
        return
    line = fails(result, 1, f"product: file://{late} came late: {DAYS[3]} is in the target")
    assert ids(database) == [7, 9]  # it keeps no newer date away
    command = line.partition("to load it all the same: ")[2].split()
    assert run(cli, lake, *command).code == 0
    assert taken(run(cli, lake)) == DAYS[4:5]


def test_a_snapshot_is_rolled_back(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 13: one command takes an older snapshot; the next load does not undo it, but takes what comes after."""
    configure(mode="snapshot", key=["id"])
    for place, day in enumerate(DAYS[:4]):
        lake.put(day, "product", items(place))
    load(cli, lake.url, "--date", DAYS[1], "--accept", "max_deleted")
    load(cli, lake.url, "--date", DAYS[3], "--accept", "max_deleted")

    for day in (DAYS[2], DAYS[1]):  # and once more
        assert run(cli, lake, "--date", day, "--accept", "older", "--accept", "max_deleted").code == 0
        assert taken(run(cli, lake)) == [day]
    assert ids(database) == [1]

    lake.put(DAYS[4], "product", items(4))
    assert taken(run(cli, lake, "--accept", "max_deleted")) == DAYS[4:5]
    assert ids(database) == [4]


def test_a_date_to_come(cli: Cli, lake: Lake, database: Database) -> None:
    """Issue 13: a folder of the year 2999 does not make every later date an older one; it is named."""
    lake.put(DAYS[0], "product", items(1))
    lake.put("2999-01-01", "product", items(2))

    result = run(cli, lake, "--key", "id")

    assert (result.code, loaded(database)) == (0, DAYS[:1])
    assert "2999-01-01 is left alone, because it is a date to come" in result.err


@pytest.mark.long
def test_linked_entities_take_the_same_dates(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 13: a row of a missed date may refer to one that only that date's snapshot has."""
    configure(mode="snapshot", key=["id"])
    with database.connect(autocommit=True) as conn:
        conn.execute("create table product (id bigint primary key, text text)")
        conn.execute("create table review (id bigint primary key, product bigint references product on delete cascade)")
        conn.execute("select pgpipe.keep_ledger('product', 'product'), pgpipe.keep_ledger('review', 'review')")
    for place, day in enumerate(DAYS[:3]):
        lake.put(day, "product", items(place, 100))
        lake.put(day, "review", [{"id": place, "product": place}])
    options = ("--accept", "max_deleted")
    assert run(cli, lake, "--date", DAYS[0], *options).code == 0

    result = run(cli, lake, *options)

    assert (result.code, result.err) == (0, "")
    assert taken(result) == DAYS[1:3]
    assert (loaded(database), loaded(database, "review")) == (DAYS[2:3], DAYS[:3])
    assert set(table(database, "product", "id")) == {2, 100}


def test_dates_that_are_not_loaded_are_named(
    cli: Cli, lake: Lake, database: Database, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 13: a gap is named by plan, load, status, a metric and doctor; so is a night that was missed, by doctor."""
    configure(key=["id"])
    monkeypatch.setenv("PGPIPE_SOURCE__URL", lake.url)
    for place, day in enumerate(DAYS[:3]):
        lake.put(day, "product", items(place))
    for day in (DAYS[0], DAYS[2]):
        load(cli, lake.url, "--date", day)
    gap = f"product: {DAYS[1]} in the source, but not loaded, and {DAYS[2]} is"

    for command in ("plan", "load"):
        result = run(cli, lake, command=command)
        assert (result.code, taken(result)) == (0, DAYS[2:3])
        assert gap in result.err

    lake.put(DAYS[3], "product", items(3))
    (found,) = json.loads(cli("status", "--json").out)["dates"]
    assert (found["behind"], found["dates"]) == (1, DAYS[1:2])
    assert f"product: {DAYS[1]} not loaded, as a load saw it 0:00:0" in cli("status").out
    assert registry(database).get_sample_value("pgpipe_dates_behind", {"schema": "public", "entity": "product"}) == 1
    doctor = cli("doctor", "--skip-model", "--json").out
    (finding,) = [each for each in json.loads(doctor) if each["check"] == "dates"]
    assert (finding["state"], f"{DAYS[1]}, {DAYS[3]} not loaded" in finding["message"]) == ("warning", True)

    load(cli, lake.url, "--date", DAYS[1], "--accept", "older")
    assert run(cli, lake).err == ""
    assert json.loads(cli("status", "--json").out)["dates"] == []
    assert "dates" not in {each["check"] for each in json.loads(cli("doctor", "--skip-model", "--json").out)}


def test_only_dates_that_are_needed_are_listed(
    cli: Cli, lake: Lake, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 13: a night lists the newest date loaded and what came after it, whatever the source has besides."""
    configure(key=["id"])
    days = [f"2026-0{month}-{day:02}" for month in (1, 2) for day in range(1, 29)]
    for place, day in enumerate(days):
        lake.put(day, "product", items(place))
    load(cli, lake.url, "--date", days[-2])
    listed: list[str] = []
    files = LocalSource.files

    def counted(self: LocalSource, under: str) -> Iterator[File]:
        listed.append(under)
        return files(self, under)

    monkeypatch.setattr(LocalSource, "files", counted)
    load(cli, lake.url)

    assert sorted(set(listed)) == [f"{day}/product" for day in days[-2:]]
