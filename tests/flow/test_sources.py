"""What a load takes from where files lie: folders and paths as columns, ranges of dates, sources of other packages."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pgpipe.db import Database
from pgpipe.errors import SourceError, UsageError
from pgpipe.settings.source import SourceSettings
from pgpipe.source import File, Source, open_source
from tests.conftest import Cli, Lake
from tests.flow.support import counts, fails, load, rows, stages

HIVE = """
[entity.sale]
partitions = true
path_column = "source_file"
"""


def test_hive_folders_and_the_path_become_columns(cli: Cli, lake: Lake, database: Database) -> None:
    """As text, percent-decoded, NULL where Hive says so; each row of files that share a batch gets its own."""
    for n, folder in enumerate(
        ("region=eu/day%20kind=work", "region=us/day%20kind=rest", "region=__HIVE_DEFAULT_PARTITION__")
    ):
        lake.put("date=2026-01-01", f"sale/{folder}", [{"id": n}])
    Path("pgpipe.toml").write_text(HIVE)

    load(cli, lake.url, "--key", "id")

    found = rows(database, 'select id, region, "day kind", source_file from sale order by id')
    assert [row[:3] for row in found] == [(0, "eu", "work"), (1, "us", "rest"), (2, None, None)]
    assert found[0][3] == f"{lake.url}/date=2026-01-01/sale/region=eu/day%20kind=work/part-0.parquet"
    assert load(cli, lake.url, "--key", "id")["sale", "import"]["state"] == "nothing to do"


def test_a_hive_column_may_have_a_type(cli: Cli, lake: Lake, database: Database) -> None:
    """Declared, it is read as such."""
    for month in ("01", "11"):
        lake.put("2026-01-01", f"sale/month={month}", [{"id": int(month)}])
    Path("pgpipe.toml").write_text(HIVE + 'types = { month = "integer" }\n')

    load(cli, lake.url, "--key", "id")

    assert rows(database, "select id, month from sale order by id") == [(1, 1), (11, 11)]


def test_a_hive_column_that_the_file_has_too(cli: Cli, lake: Lake) -> None:
    """Which of the two is meant, nobody can tell."""
    lake.put("2026-01-01", "sale/region=eu", [{"id": 1, "region": "us"}])
    Path("pgpipe.toml").write_text(HIVE)

    fails(cli("load", "--source", lake.url), 1, "sale/region=eu/part-0.parquet has two columns named 'region'")


def history(lake: Lake) -> None:
    """Four dates of two entities: a row more on each, and the first changed on each."""
    for day in range(1, 5):
        for entity in ("a", "b"):
            found = [{"id": n, "text": f"of {day}" if n == 1 else "same"} for n in range(1, day + 1)]
            lake.put(f"2026-01-0{day}", entity, found)


def test_a_range_of_dates_is_loaded_oldest_first(cli: Cli, lake: Lake, database: Database) -> None:
    """Each as a load of its own; what comes of it is the newest date's state; again it does nothing."""
    history(lake)
    options = ("--source", lake.url, "--key", "id", "--mode", "snapshot", "--skip-embeddings")

    result = cli("load", *options, "--date", "2026-01-02..2026-01-04")

    assert (result.code, result.err) == (0, "")
    dates = rows(database, "select date::text, inserted, updated from pgpipe.load where entity = 'a' order by load_id")
    assert dates == [("2026-01-02", 2, 0), ("2026-01-03", 1, 1), ("2026-01-04", 1, 1)]
    assert rows(database, "select id, text from b order by id") == [(1, "of 4"), (2, "same"), (3, "same"), (4, "same")]
    older = ("--date", "..2026-01-01", "--entity", "a")
    assert "2026-01-04 is in the target" in cli("load", *options, *older).err
    assert cli("load", *options, *older, "--accept", "older").code == 0
    assert rows(database, "select id from a") == [(1,)]  # asked for, a snapshot of an older date is that date's state


def test_an_entity_that_fails_is_left_alone_on_later_dates(cli: Cli, lake: Lake, database: Database) -> None:
    """The others go on; the exit code and a line say so; mended, the same command finishes the work."""
    import json

    history(lake)
    spoilt = lake.path / "2026-01-02" / "a" / "part-0.parquet"
    whole = spoilt.read_bytes()
    spoilt.write_bytes(whole[:-20])
    options = ("--source", lake.url, "--key", "id", "--date", "2026-01-01..", "--json", "--skip-embeddings")

    result = cli("load", *options)

    assert result.code == 1
    assert result.err.startswith("pgpipe: 2026-01-02: a: ")
    assert len(result.err.splitlines()) == 1
    last = json.loads(result.out)["dates"][-1]
    assert [(s["entity"], s["state"]) for s in last["stages"] if s["stage"] == "import"] == [
        ("a", "skipped"),
        ("b", "ok"),
    ]
    assert "left alone, because 2026-01-02 failed" in result.out
    assert rows(database, "select (select count(*) from a), (select count(*) from b)") == [(1, 4)]
    spoilt.write_bytes(whole)
    assert cli("load", *options).code == 0
    assert rows(database, "select text from a where id = 1") == [("of 4",)]


@pytest.mark.parametrize("wrong", ["2026-01-03..2026-01-01", "..", "2026-01-01..soon", "2026-01-01...2026-01-03"])
def test_a_range_that_is_none(cli: Cli, lake: Lake, wrong: str) -> None:
    """Is a wrong option."""
    result = cli("load", "--source", lake.url, "--date", wrong)

    assert result.code == 2
    assert "2026-01-0" in result.err or "neither" in result.err or "range" in result.err


def test_a_range_takes_complete_dates_only(
    cli: Cli, lake: Lake, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the gate of the source; where none is complete, it says so."""
    history(lake)
    monkeypatch.setenv("PGPIPE_SOURCE__COMPLETE", "_SUCCESS")
    options = ("--source", lake.url, "--key", "id", "--date", "2026-01-01..2026-01-03", "--skip-embeddings")
    fails(cli("load", *options), 3, "has no complete date in 2026-01-01..2026-01-03")
    for day in ("2026-01-01", "2026-01-03", "2026-01-04"):
        (lake.path / day / "_SUCCESS").touch()

    assert cli("load", *options).code == 0

    assert rows(database, "select distinct date::text from pgpipe.load order by 1") == [
        ("2026-01-01",),
        ("2026-01-03",),
    ]


class Shelf:
    """A source that another package might offer: files in memory."""

    def __init__(self, settings: SourceSettings) -> None:
        self.url = settings.url or ""
        self._files = {"2026-01-01/book/part-0.parquet": parquet(pa.table({"id": [1, 2]}))}

    def folders(self, under: str) -> list[str]:
        at = f"{under}/" if under else ""
        below = [path[len(at) :] for path in self._files if path.startswith(at)]
        return sorted({path.partition("/")[0] for path in below if "/" in path})

    def files(self, under: str) -> Iterator[File]:
        for path, content in self._files.items():
            if path.startswith(under):
                yield File(path, f"{self.url}/{path}", str(hash(content)), len(content), datetime.now(UTC))

    def open(self, file: File) -> AbstractContextManager[pa.NativeFile]:
        @contextmanager
        def opened() -> Iterator[pa.NativeFile]:
            yield pa.BufferReader(self._files[file.path])

        return opened()


def parquet(table: pa.Table) -> bytes:
    """A file's content."""
    stream = BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that offers sources, as pip leaves it."""
    info = tmp_path / "packages" / "shelf-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n")
    points = {"shelf": f"{__name__}:Shelf", "gone": "no_such_package:Source", "half": "abc:ABC"}
    lines = [f"{scheme} = {place}" for scheme, place in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[pgpipe.sources]", *lines]))
    monkeypatch.syspath_prepend(info.parent)


@pytest.mark.usefixtures("installed")
def test_a_source_of_another_package(cli: Cli, database: Database) -> None:
    """Is used for the scheme that it is named for."""
    stage = load(cli, "shelf://upper")["book", "import"]

    assert counts(stage) == (2, 0, 0, 0)
    assert rows(database, "select file from pgpipe.load_file") == [("shelf://upper/2026-01-01/book/part-0.parquet",)]
    assert isinstance(open_source(SourceSettings(url="shelf://upper")), Source)


@pytest.mark.usefixtures("installed")
def test_a_source_that_does_not_load() -> None:
    """Is named."""
    with pytest.raises(UsageError, match=r"the source 'gone' \(no_such_package:Source\) does not load: ModuleNotFound"):
        open_source(SourceSettings(url="gone://x"))
    with pytest.raises(UsageError, match=r"the source 'half' \(abc:ABC\) does not load"):
        open_source(SourceSettings(url="half://x"))


def test_a_filesystem_of_fsspec(cli: Cli, database: Database) -> None:
    """Is a source as others are: listed, loaded, recognised; a file that is overwritten while it is read is named."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for n in range(3):
        memory.pipe(f"/lake/2026-01-01/book/part-{n}.parquet", parquet(pa.table({"id": [n]})))

    stage = load(cli, "memory://lake", "--key", "id")["book", "import"]

    assert counts(stage) == (3, 0, 0, 0)
    assert load(cli, "memory://lake", "--key", "id")["book", "import"]["state"] == "nothing to do"
    assert rows(database, "select min(file) from pgpipe.load_file") == [
        ("memory://lake/2026-01-01/book/part-0.parquet",)
    ]
    source = open_source(SourceSettings(url="memory://lake"))
    file = next(source.files("2026-01-01"))
    opened = source.open(file)
    assert opened.__enter__().read(4) == b"PAR1"
    memory.pipe("/lake/2026-01-01/book/part-0.parquet", b"other")
    with pytest.raises(SourceError, match="was overwritten while it was read"):
        opened.__exit__(None, None, None)
    with pytest.raises(SourceError, match="is not there"):
        list(open_source(SourceSettings(url="memory://nowhere")).folders(""))
    memory.store.clear()


def test_a_scheme_that_nobody_knows() -> None:
    """Is refused with what there is."""
    with pytest.raises(UsageError, match="a source is s3://bucket/prefix or file:///path, not 'ftpx://a'"):
        open_source(SourceSettings(url="ftpx://a"))


def test_the_ledger_is_of_a_schema(cli: Cli, lake: Lake, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same files into a table of the same name elsewhere are another load; each ledger is forgotten alone."""
    lake.put("2026-01-01", "item", [{"id": 1}])
    load(cli, lake.url)
    with database.connect(autocommit=True) as conn:
        conn.execute("create schema other")
    monkeypatch.setenv("PGPIPE_DATABASE__SCHEMA", "other")

    assert counts(load(cli, lake.url)["item", "import"]) == (1, 0, 0, 0)
    assert rows(database, "select schema, entity from pgpipe.load_file order by 1") == [
        ("other", "item"),
        ("public", "item"),
    ]
    with database.connect(autocommit=True) as conn:
        conn.execute("truncate other.item")
    assert rows(database, "select schema from pgpipe.load_file") == [("public",)]
    assert counts(load(cli, lake.url)["item", "import"]) == (1, 0, 0, 0)
    assert rows(database, "select (select count(*) from other.item), (select count(*) from public.item)") == [(1, 1)]


def test_a_load_that_waits_says_so(cli: Cli, lake: Lake, database: Database) -> None:
    """While another one of the same entity runs."""
    import threading

    lake.put("2026-01-01", "item", [{"id": 1}])
    with database.connect(autocommit=True) as conn:
        conn.execute("select pg_advisory_lock(hashtext('pgpipe load'), hashtext('public.item'))")
        timer = threading.Timer(1, lambda: conn.execute("select pg_advisory_unlock_all()"))
        timer.start()
        result = cli("load", "--source", lake.url, "--json", "--skip-embeddings")
        timer.join()

    assert result.code == 0
    assert result.err == "pgpipe: another load of item is running; waiting for it to end\n"
    assert "table made, its indexes after its rows" in stages(result)["item", "import"]["note"]
