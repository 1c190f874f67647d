"""Values that PostgreSQL cannot store: refused, stripped, cleared or rejected, as the column says."""

from pathlib import Path

import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import REJECTED, counts, fails, load, rows, table


def days(*numbers: int | None) -> pa.Array:
    """Dates by their number since 1970, also those of no calendar."""
    return pa.array(numbers, pa.int32()).cast(pa.date32())


FAR = 2**31 - 1
NUL = "a NUL character, which PostgreSQL's text cannot hold"
BYTES = pa.array([b"fine", b"\xff\xfe!", b"\xed\xa0\x80?", None]).view(pa.string())


def some_bad() -> pa.Table:
    """Four rows a row group; the second has a bad text, the third a bad date."""
    return pa.table({
        "id": [1, 2, 3, 4],
        "title": ["one", "tw\0o", "three", None],
        "day": days(0, 1, FAR, None),
    })  # fmt: skip


MODES = ["append", "upsert", "snapshot"]


@pytest.mark.parametrize("later", [False, True], ids=["first load", "later load"])
@pytest.mark.parametrize("mode", MODES)
def test_rejected_rows_are_kept_with_their_place(
    cli: Cli, lake: Lake, database: Database, configure: Configure, mode: str, later: bool
) -> None:
    """The rest loads; each bad row is kept with file, row group, row, column, reason, key and content, and counted."""
    configure(key=["id"], mode=mode, bad_values="reject", max_deleted=1.0)
    if later:
        lake.put("2026-01-01", "product", pa.table({"id": [9], "title": ["nine"], "day": days(9)}))
        load(cli, lake.url)
    file = lake.put("2026-01-02", "product", pa.concat_tables([some_bad()] * 2).set_column(
        0, "id", pa.array(range(1, 9))), row_group_size=4)  # fmt: skip

    stage = load(cli, lake.url)["product", "import"]

    assert (stage["read"], stage["inserted"], stage["rejected"]) == (8, 4, 4)
    found = table(database, "product", "id")
    assert set(found) - {9} == {1, 4, 5, 8}
    out = "out of the range of PostgreSQL's date"
    assert rows(database, REJECTED) == [
        (
            f"file://{file}",
            group,
            row,
            column,
            reason,
            {"id": 4 * group + row + 1},
            content | {"id": 4 * group + row + 1},
        )
        for group in (0, 1)
        for row, column, reason, content in [
            (1, "title", NUL, {"title": "tw␀o", "day": "1970-01-02"}),
            (2, "day", out, {"title": "three", "day": f"<value out of range: {FAR}>"}),
        ]
    ]
    assert rows(database, "select read, rejected from pgpipe.load order by load_id desc limit 1") == [(8, 4)]
    assert rows(database, "select rejected from pgpipe.load_file order by date desc limit 1") == [(4,)]


@pytest.mark.parametrize("mode", MODES)
def test_rows_of_a_file_that_lacks_a_required_column_are_rejected(
    cli: Cli, lake: Lake, database: Database, configure: Configure, mode: str
) -> None:
    """If another file has the column, they are NULL in it, as a NULL of that file is; `plan` lets it pass."""
    configure(key=["id"], mode=mode, bad_values="reject", max_deleted=1.0)
    lake.put("2026-01-01", "product", pa.table({"id": [1], "size": [1]}))
    load(cli, lake.url)
    with database.connect(autocommit=True) as conn:
        conn.execute("alter table product alter size set not null")
    lacking = lake.put("2026-01-02", "product", pa.table({"id": [2, 3]}), "a.parquet")
    lake.put("2026-01-02", "product", pa.table({"id": [4, 5], "size": [4, None]}), "b.parquet")
    assert cli("plan", "--source", lake.url, "--date", "2026-01-02").code == 0

    stage = load(cli, lake.url)["product", "import"]

    assert (stage["read"], stage["inserted"], stage["rejected"]) == (4, 1, 3)
    found = rows(database, "select file, row_number, column_name, reason from pgpipe.rejected_row order by 1, 2")
    why = ("size", "NULL, and the column is NOT NULL")
    assert found == [
        (f"file://{lacking}", 0, *why),
        (f"file://{lacking}", 1, *why),
        (f"file://{lacking.with_name('b.parquet')}", 1, *why),
    ]
    assert rows(database, "select id from product where id > 1") == [(4,)]


def test_a_file_that_is_loaded_again_has_its_rejected_rows_once(
    cli: Cli, lake: Lake, database: Database, configure: Configure
) -> None:
    """They go with the ledger: a second run adds none, a truncated target forgets them, a new load brings them."""
    configure(key=["id"], mode="upsert", bad_values="reject")
    lake.put("2026-01-01", "product", some_bad())
    load(cli, lake.url)

    assert load(cli, lake.url)["product", "import"]["state"] == "nothing to do"
    first = rows(database, REJECTED)
    with database.connect(autocommit=True) as conn:
        conn.execute("truncate product")
    assert rows(database, REJECTED) == []
    load(cli, lake.url)

    assert len(first) == 2
    assert rows(database, REJECTED) == first


def test_a_mended_file_takes_its_rejected_rows_away(
    cli: Cli, lake: Lake, database: Database, configure: Configure
) -> None:
    """The file was uploaded anew under its old name: what is rejected is what is wrong in the new one."""
    configure(key=["id"], mode="upsert", bad_values="reject")
    lake.put("2026-01-01", "product", some_bad())
    load(cli, lake.url)
    lake.put("2026-01-01", "product", pa.table({"id": [2, 3], "title": ["two", "thr\0ee"], "day": days(1, 2)}))

    load(cli, lake.url)

    assert [row[5] for row in rows(database, REJECTED)] == [{"id": 3}]
    assert set(table(database, "product", "id")) == {1, 2, 4}


def test_a_snapshot_keeps_the_earlier_version_of_a_rejected_row(
    cli: Cli, lake: Lake, database: Database, configure: Configure
) -> None:
    """The row is in the snapshot, so it is not deleted; what is gone, is. Recognised files keep what was rejected."""
    configure(key=["id", "day"], mode="snapshot", bad_values="reject")
    lake.put("2026-01-01", "product", pa.table({"id": [1, 2, 5], "title": ["i", "ii", "v"], "day": days(0, 1, 5)}))
    load(cli, lake.url)
    second = lake.put("2026-01-02", "product", some_bad().slice(0, 2))

    stage = load(cli, lake.url)["product", "import"]

    assert counts(stage) == (0, 1, 1, 0)
    assert {n: row["title"] for n, row in table(database, "product", "id").items()} == {1: "one", 2: "ii"}
    (lake.path / "2026-01-03/product").mkdir(parents=True)
    third = lake.path / "2026-01-03/product/renamed.parquet"
    third.write_bytes(second.read_bytes())
    load(cli, lake.url)
    assert [row[0] for row in rows(database, REJECTED)] == [f"file://{third}"]
    assert rows(database, "select file, read, rejected from pgpipe.load_file") == [(f"file://{third}", 2, 1)]


@pytest.mark.parametrize("later", [False, True], ids=["first load", "later load"])
@pytest.mark.parametrize("mode", MODES)
def test_strip_and_null(cli: Cli, lake: Lake, database: Database, configure: Configure, mode: str, later: bool) -> None:
    """A text loses what cannot be stored, any other value becomes NULL; nothing is rejected."""
    configure(key=["id"], mode=mode, bad_values={"title": "strip", "*": "null"}, max_deleted=1.0)
    if later:
        lake.put("2026-01-01", "product", pa.table({"id": [9], "title": ["nine"], "day": days(9)}))
        load(cli, lake.url)
    lake.put("2026-01-02", "product", some_bad(), "a.parquet")
    lake.put(
        "2026-01-02", "product", pa.table({"id": [5, 6, 7, 8], "title": BYTES, "day": days(*[1] * 4)}), "b.parquet"
    )

    stage = load(cli, lake.url)["product", "import"]

    assert (stage["inserted"], stage["rejected"]) == (8, 0)
    found = table(database, "product", "id")
    assert [found[n]["title"] for n in range(1, 9)] == ["one", "two", "three", None, "fine", "!", "?", None]
    assert [found[n]["day"] is None for n in range(1, 5)] == [False, False, True, True]
    assert rows(database, REJECTED) == []


def test_error_is_the_default_and_names_the_first_bad_value(cli: Cli, lake: Lake, configure: Configure) -> None:
    """File, row group, row and column; the value itself is not told."""
    configure(key=["id"], bad_values={"day": "reject"})
    lake.put("2026-01-01", "product", some_bad(), row_group_size=1)

    line = fails(
        cli("load", "--source", lake.url, "--json"),
        1,
        f"product/part-0.parquet, row group 1, row 0, column 'title': {NUL}",
    )

    assert "tw" not in line


def test_rows_of_many_batches_are_told_by_their_number(
    cli: Cli, lake: Lake, database: Database, configure: Configure
) -> None:
    """Within the row group, wherever batches are cut, over all connections; small files may share one."""
    count = 150_000
    bad = {7, 65_535, 65_536, 149_999}
    texts = ["a\0" if n in bad else "a" for n in range(count)]
    configure(key=["id"], bad_values="reject")
    lake.put("2026-01-01", "product", pa.table({"id": range(count), "title": texts}), "large.parquet")
    for n in range(3):
        small = pa.table(
            {"id": range(count + 10 * n, count + 10 * n + 10), "title": ["b"] * n + ["\0"] + ["b"] * (9 - n)}
        )
        lake.put("2026-01-01", "product", small, f"small-{n}.parquet")

    stage = load(cli, lake.url, "--jobs", "2")["product", "import"]

    assert (stage["inserted"], stage["rejected"]) == (count + 30 - 7, 7)
    found = {(Path(file).name, row): key["id"] for file, _, row, _, _, key, _ in rows(database, REJECTED)}
    assert found == {("large.parquet", n): n for n in bad} | {
        (f"small-{n}.parquet", n): count + 10 * n + n for n in range(3)
    }


def test_more_than_may_be_rejected_fails_the_load(
    cli: Cli, lake: Lake, database: Database, configure: Configure
) -> None:
    """Nothing is loaded; a limit of as many as there are holds them."""
    lake.put("2026-01-01", "product", some_bad())
    configure(key=["id"], bad_values="reject", max_rejected=1)

    fails(cli("load", "--source", lake.url, "--json"), 1, "more than max_rejected = 1 rows of this load are bad")

    assert rows(database, "select to_regclass('product'), count(*) from pgpipe.rejected_row") == [(None, 0)]
    configure(key=["id"], bad_values="reject", max_rejected=2)
    load(cli, lake.url)
    assert len(rows(database, REJECTED)) == 2


def test_a_null_in_the_key_can_be_rejected(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Its row has no key; the others load."""
    configure(key=["id"], bad_values={"id": "reject"})
    lake.put("2026-01-01", "product", pa.table({"id": [1, None], "title": ["a", "b"]}))

    load(cli, lake.url)

    assert [(row[3], row[5]) for row in rows(database, REJECTED)] == [("id", {"id": None})]
    assert set(table(database, "product", "id")) == {1}


def test_the_content_of_rows_is_in_no_message(cli: Cli, lake: Lake, configure: Configure) -> None:
    """Neither on the terminal nor in what the database keeps of the load."""
    configure(key=["id"], bad_values="reject", max_rejected=0)
    lake.put("2026-01-01", "product", pa.table({"id": [1], "title": ["secret\0"]}))

    result = cli("load", "--source", lake.url)

    assert result.code == 1
    assert "secret" not in result.out + result.err


def test_columns_are_chosen_for_search_in_spite_of_bad_texts(cli: Cli, lake: Lake, database: Database) -> None:
    """The sample that the choice is made from is judged by what can be read of it; what was stripped is searchable."""
    (lake.path.parent / "pgpipe.toml").write_text("[entity.product]\nbad_values = 'strip'\n")
    texts = pa.array([b"some words about a fox\xff", b"other words about a \0dog"]).view(pa.string())
    lake.put("2026-01-01", "product", pa.table({"id": [1, 2], "text": texts}))

    load(cli, lake.url, "--key", "id")

    assert rows(database, "select text from product where search @@ to_tsquery('dog')") == [
        ("other words about a dog",)
    ]


def test_the_oldest_server_keeps_rejected_rows_too(
    plain_cli: Cli, plain_database: Database, lake: Lake, configure: Configure
) -> None:
    """PostgreSQL 15: bad values, a CHECK and a type of many digits."""
    configure(key=["id"], bad_values="reject", types={"n": "numeric(50,2)"})
    lake.put("2026-01-01", "product", some_bad())
    load(plain_cli, lake.url)
    with plain_database.connect(autocommit=True) as conn:
        conn.execute("alter table product add constraint short check (length(title) < 5)")
    lake.put("2026-01-02", "product", pa.table({"id": [1, 5], "title": ["too long", "five"], "day": days(1, 2)}))

    stage = load(plain_cli, lake.url)["product", "import"]

    assert (stage["inserted"], stage["rejected"]) == (1, 1)
    found = rows(plain_database, "select key ->> 'id', reason from pgpipe.rejected_row order by 1")
    assert [key for key, _ in found] == ["1", "2", "3"]
    assert found[0][1] == 'violates check constraint "short"'
