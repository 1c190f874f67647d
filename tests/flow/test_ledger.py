"""The ledger: which files are in the target, what makes it forget them, and how an interrupted load is carried on."""

import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Lake
from tests.flow.support import counts, fails, load, rows, table

ROWS = [{"id": n, "text": f"row {n}"} for n in range(1, 4)]
BROKEN_OFF = "select split_part(error, ':', 1) from pgpipe.load where error is not null"
MODES = [("snapshot", ["--key", "id"]), ("upsert", ["--key", "id"]), ("append", [])]


def execute(database: Database, *statements: str) -> None:
    """Plain SQL of somebody else."""
    with database.connect(autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement.encode())


@pytest.mark.parametrize(("mode", "key"), MODES)
@pytest.mark.parametrize("loss", ["truncate product", "drop table product", "drop table product cascade"])
def test_a_target_that_lost_its_rows_is_loaded_again(
    cli: Cli, lake: Lake, database: Database, mode: str, key: list[str], loss: str
) -> None:
    """After TRUNCATE or DROP the same files are new again."""
    lake.put("2026-01-01", "product", ROWS)
    load(cli, lake.url, "--mode", mode, *key)
    execute(database, loss)

    stage = load(cli, lake.url, "--mode", mode, *key)["product", "import"]

    assert counts(stage) == (3, 0, 0, 0)
    assert table(database, "product", "id") == {row["id"]: row for row in ROWS}


def test_a_table_of_the_same_name_is_not_the_loaded_one(cli: Cli, lake: Lake, database: Database) -> None:
    """Dropped and made again by hand: its rows came from elsewhere, so the files are loaded into it."""
    lake.put("2026-01-01", "product", ROWS)
    load(cli, lake.url, "--key", "id")
    execute(
        database,
        "drop table product",
        "create table product (id bigint primary key, text text, mine int default 7)",
        "insert into product values (1, 'by hand', 1), (9, 'by hand', 9)",
    )

    stage = load(cli, lake.url, "--skip-search", "--entity", "product")["product", "import"]

    assert counts(stage) == (2, 1, 0, 0)
    assert [tuple(row.values()) for _, row in sorted(table(database, "product", "id").items())] == [
        (1, "row 1", 1),
        (2, "row 2", 7),
        (3, "row 3", 7),
        (9, "by hand", 9),
    ]


def test_append_commits_file_by_file(cli: Cli, lake: Lake, database: Database) -> None:
    """A file that fails takes none of those before it along, and the next run begins with it."""
    lake.put("2026-01-01", "log", [{"id": 0}])
    load(cli, lake.url)
    execute(database, "alter table log add constraint few check (id < 100)")
    for name, first in (("a", 1), ("b", 200), ("c", 20)):
        lake.put("2026-01-02", "log", [{"id": first}, {"id": first + 1}], f"{name}.parquet")

    result = cli("load", "--source", lake.url, "--mode", "append", "--json")

    line = fails(result, 1, "log: ", 'violates check constraint "few"')
    assert "2026-01-02/log/b.parquet, row group 0, row 0: " in line
    assert rows(database, "select id from log order by id") == [(0,), (1,), (2,)]
    assert rows(database, "select state, read, inserted from pgpipe.load_status") == [("failed", 2, 2)]
    execute(database, "alter table log drop constraint few")
    stage = load(cli, lake.url, "--mode", "append")["log", "import"]
    assert (stage["read"], counts(stage)) == (4, (4, 0, 0, 0))
    assert rows(database, "select id from log order by id") == [(n,) for n in (0, 1, 2, 20, 21, 200, 201)]


LEFT = """
    insert into pgpipe.load (schema, entity, date, mode) values ('public', 'product', '2026-01-01', 'upsert');
    create table pgpipe_staging."public.product" (id text, search tsvector);
    insert into pgpipe_staging."public.product" values ('half');
    insert into pgpipe.search (target, weights, language)
    values ('pgpipe_staging."public.product"', '{"text": "A"}', 'english');
"""
RUNNING = "select count(*) from pgpipe.load where finished_at is null"
WITH_ITS_ROWS = """
    select h.state, h.read from pgpipe.load_history h join pgpipe.load l using (load_id)
     where h.date = '2026-01-02' and exists (select from log where log.xmin = l.xmin)
"""


@pytest.mark.parametrize(("mode", "key"), MODES)
@pytest.mark.parametrize("before", ["nothing", "an older date"])
def test_an_interrupted_load_is_carried_on(
    cli: Cli, lake: Lake, database: Database, mode: str, key: list[str], before: str
) -> None:
    """What a killed process left behind is no hindrance, and its load is recorded as broken off."""
    if before != "nothing":
        lake.put("2026-01-01", "product", ROWS[:1])
        load(cli, lake.url, "--mode", mode, *key)
    execute(database, LEFT)
    lake.put("2026-01-02", "product", ROWS[1:])

    stage = load(cli, lake.url, "--mode", mode, *key, "--accept", "max_deleted")["product", "import"]

    assert stage["state"] == "ok"
    kept = ROWS[1:] if before == "nothing" or mode == "snapshot" else ROWS
    assert list(table(database, "product", "id").values()) == kept
    assert rows(database, BROKEN_OFF) == [("broken off",)]
    assert rows(database, RUNNING) == [(0,)]
    execute(database, LEFT.splitlines()[1])
    load(cli, lake.url, "--mode", mode, *key)  # finds nothing to do
    assert rows(database, RUNNING) == [(0,)]


def test_the_last_rows_of_an_append_end_it(cli: Cli, lake: Lake, database: Database) -> None:
    """A kill after the last transaction leaves no load that seems to run: it has written that the load ended."""
    lake.put("2026-01-01", "log", ROWS)
    load(cli, lake.url, "--mode", "append")
    lake.put("2026-01-02", "log", ROWS, "d.parquet")
    lake.put("2026-01-02", "log", ROWS, "e.parquet")
    load(cli, lake.url, "--mode", "append")

    assert rows(database, WITH_ITS_ROWS) == [("done", 6)]


def test_no_staging_table_is_left(cli: Cli, lake: Lake, database: Database) -> None:
    """After a merge, nor after a first load; after a failure the next one clears it away."""
    lake.put("2026-01-01", "product", ROWS)
    load(cli, lake.url, "--key", "id")
    lake.put("2026-01-02", "product", ROWS + ROWS[:1])
    fails(cli("load", "--source", lake.url, "--skip-embeddings", "--json"), 1, "is not unique")
    lake.put("2026-01-03", "product", ROWS[:2])
    load(cli, lake.url, "--date", "2026-01-03")

    assert rows(database, "select count(*) from pg_class where relnamespace = 'pgpipe_staging'::regnamespace") == [(0,)]


def test_two_loads_of_an_entity_wait_for_each_other(lake: Lake, database: Database) -> None:
    """The second finds the first one's files in the ledger: no row comes twice."""
    from concurrent.futures import ThreadPoolExecutor

    from pgpipe.load.loader import Loader
    from pgpipe.settings.entity import EntitySettings
    from pgpipe.settings.source import SourceSettings
    from pgpipe.source import open_source
    from tests.flow.support import newest

    lake.put("2026-01-01", "log", [{"id": n} for n in range(1000)], row_group_size=100)
    source = open_source(SourceSettings(url=lake.url))
    (files,) = newest(source)

    def once(_: int) -> int:
        plan = Loader(database, source, 2).load(files, EntitySettings(), lambda *_: None, lambda _: lambda _: None)
        return plan[1].inserted

    with ThreadPoolExecutor(3) as pool:
        inserted = list(pool.map(once, range(3)))

    assert sorted(inserted) == [0, 0, 1000]
    assert rows(database, "select count(*) from log") == [(1000,)]


SWAP = ("alter table log rename to before", "create table log (id bigint primary key, note text)")


@pytest.mark.parametrize("change", [SWAP, ("drop table log",)], ids=["replaced", "dropped"])
def test_a_target_that_is_replaced_during_a_load(lake: Lake, database: Database, change: tuple[str, ...]) -> None:
    """It is planned for again: the rows come into the table of that name, and none into the one that was renamed."""
    from pgpipe.load.loader import Loader
    from pgpipe.load.plan.outline import Consent, Plan
    from pgpipe.load.write.run import Progress
    from pgpipe.settings.entity import EntitySettings
    from pgpipe.settings.source import SourceSettings
    from pgpipe.source import open_source
    from tests.flow.support import newest

    lake.put("2026-01-01", "log", [{"id": n} for n in range(10)])
    source = open_source(SourceSettings(url=lake.url))
    (files,) = newest(source)
    execute(database, "create table log (id bigint primary key)")
    todo = list(change)

    def progress(_plan: Plan) -> Progress:  # called while the rows are staged
        def advance(_rows: int) -> None:
            execute(database, *todo)
            todo.clear()

        return advance

    settings, consent = EntitySettings(key=["id"]), Consent(named=True)
    _, counts = Loader(database, source, 1).load(files, settings, lambda *_: None, progress, consent)

    assert (counts.inserted, todo) == (10, [])
    assert rows(database, "select count(*) from log") == [(10,)]
    if change == SWAP:
        assert rows(database, "select count(*) from before") == [(0,)]
    assert rows(database, "select error is null from pgpipe.load order by load_id") == [(False,), (True,)]


@pytest.mark.parametrize("mode", ["snapshot", "upsert"])
def test_a_file_that_is_put_back_is_loaded_again(cli: Cli, lake: Lake, database: Database, mode: str) -> None:
    """The target holds the last version of a file, also if that is an earlier one."""
    options = ("--key", "id", "--mode", mode)
    for text in ("one", "two", "one"):
        lake.put("2026-01-01", "product", [{"id": 1, "text": text}])
        load(cli, lake.url, *options)
        assert table(database, "product", "id") == {1: {"id": 1, "text": text}}
    assert rows(database, "select count(*) from pgpipe.load_file") == [(1,)]


def test_a_file_that_changes_is_appended(cli: Cli, lake: Lake, database: Database) -> None:
    """What was appended stays, and no version of a file is appended twice."""
    for text in ("one", "two", "one"):
        lake.put("2026-01-01", "log", [{"text": text}])
        load(cli, lake.url)

    assert rows(database, "select text from log order by pgpipe_row") == [("one",), ("two",)]
