"""Files that cannot be loaded: one line that names them, exit code 1, and what was loaded before stays."""

from collections.abc import Callable

import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Lake
from tests.fixtures.examples import in_turn
from tests.flow.support import fails, load, rows, table

ROWS = [{"id": n, "text": f"row {n}"} for n in range(1, 4)]
KEY = ("--key", "id", "--skip-embeddings", "--json")
Damage = Callable[[Lake, str], object]


def write(content: bytes | Callable[[bytes], bytes]) -> Damage:
    """A file with these bytes, or with those of a good one changed."""

    def damage(lake: Lake, date: str) -> None:
        file = lake.put(date, "product", ROWS, "b.parquet", row_group_size=1)
        file.write_bytes(content if isinstance(content, bytes) else content(file.read_bytes()))

    return damage


def put(*files: list[dict]) -> Damage:
    """Files with these rows."""

    def damage(lake: Lake, date: str) -> None:
        for name, found in zip("bcd", files, strict=False):
            lake.put(date, "product", found, f"{name}.parquet")

    return damage


def break_footer(good: bytes) -> bytes:
    """Its length stays right, its beginning does not."""
    start = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
    return good[:start] + b"\xff" * 20 + good[start + 20 :]


def empty(lake: Lake, date: str) -> None:
    """A folder without Parquet."""
    (lake.path / date / "product").mkdir(parents=True)
    (lake.path / date / "product" / "_SUCCESS").touch()


def two_columns_of_a_name(lake: Lake, date: str) -> None:
    """As Spark writes after a careless join."""
    lake.put(date, "product", pa.table([[1], [2]], names=["id", "id"]), "b.parquet")


def far_off(lake: Lake, date: str) -> None:
    """A date that Arrow can say and PostgreSQL cannot."""
    days = pa.array([0, -(2**31)], pa.int32()).cast(pa.date32())
    lake.put(date, "product", pa.table({"id": [1, 2], "day": days}), "b.parquet")


BAD: dict[str, tuple[Damage, list[str]]] = {
    "an empty folder": (empty, ["product: the folder of ", " holds no Parquet file"]),
    "an empty file": (write(b""), ["b.parquet is not a Parquet file"]),
    "no Parquet": (write(b"id,text\n1,row 1\n" * 9), ["b.parquet is not a Parquet file"]),
    "cut short": (write(lambda b: b[: len(b) // 2]), ["b.parquet is a Parquet file that was cut short"]),
    "only its magic": (write(b"PAR1"), ["b.parquet is a Parquet file that was cut short"]),
    "a broken footer": (write(break_footer), ["b.parquet cannot be read: "]),
    "broken data": (write(lambda b: b[:4] + bytes(60) + b[64:]), ["b.parquet", "cannot be read: "]),
    "incompatible files": (
        put(ROWS, [{"id": 9, "text": [9]}]),
        ["'text' is bigint[] in ", " but text in "],
    ),
    "a NULL in the key": (put([*ROWS, {"id": None, "text": "x"}]), ["the key (id) is NULL in 1 of the rows"]),
    "a key twice in a file": (
        put([*ROWS, ROWS[1]]),
        ["the key (id) is not unique: 1 of its values occur more than once, such as '2'"],
    ),
    "a key twice in two files": (put(ROWS, ROWS[:2]), ["the key (id) is not unique: 2 of its values occur"]),
    "no key column": (
        put([{"text": "a", "size": 1}]),
        ["product: the key column 'id' is not in the files; they have text"],
    ),
    "two columns of a name": (two_columns_of_a_name, ["b.parquet has two columns named 'id'"]),
    "a date out of range": (
        far_off,
        ["b.parquet, row group 0, row 1, column 'day': out of the range of PostgreSQL's date"],
    ),
    "NUL in a text": (
        put([{"id": 1, "text": "a\0b"}]),
        ["b.parquet, row group 0, row 0, column 'text': a NUL character"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_first_load_makes_nothing(cli: Cli, lake: Lake, database: Database, case: str) -> None:
    """No table, no ledger; the entity is named."""
    damage, parts = BAD[case]
    damage(lake, "2026-01-01")

    result = cli("load", "--source", lake.url, *KEY)

    assert fails(result, 1, *parts).startswith("pgpipe: product: ")
    assert rows(database, "select to_regclass('product'), count(*) from pgpipe.load_file") == [(None, 0)]


@pytest.mark.parametrize(("case", "mode"), in_turn([(case,) for case in BAD], ["snapshot", "upsert"]))
def test_a_later_load_changes_nothing(cli: Cli, lake: Lake, database: Database, case: str, mode: str) -> None:
    """What was loaded before stays; once the files are mended they are loaded."""
    damage, parts = BAD[case]
    lake.put("2026-01-01", "product", ROWS)
    load(cli, lake.url, "--mode", mode, *KEY[:-2])
    damage(lake, "2026-01-02")

    result = cli("load", "--source", lake.url, "--mode", mode, *KEY)

    fails(result, 1, *parts)
    assert table(database, "product", "id") == {row["id"]: row for row in ROWS}
    for file in (lake.path / "2026-01-02/product").iterdir():
        file.unlink()
    lake.put("2026-01-02", "product", [{"id": 3, "text": "mended"}], "b.parquet")
    load(cli, lake.url, "--mode", mode, *KEY[:-2], "--accept", "max_deleted")
    assert table(database, "product", "id")[3]["text"] == "mended"


def test_bad_bytes_in_a_text_name_the_file(cli: Cli, lake: Lake, database: Database) -> None:
    """Parquet promises UTF-8 and does not check it; PostgreSQL does."""
    bad = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")])
    lake.put("2026-01-01", "product", pa.table({"id": [1], "text": bad}))
    lake.put("2026-01-01", "nested", pa.table({"id": [1], "rows": pa.StructArray.from_arrays([bad], ["text"])}))

    result = cli("load", "--source", lake.url, "--skip-search", *KEY)

    assert result.code == 1
    nested, product = result.err.splitlines()
    assert "nested/part-0.parquet, row group 0, row 0, column 'rows': invalid byte sequence" in nested
    assert "product/part-0.parquet, row group 0, row 0, column 'text': bytes that are not UTF-8" in product
    assert rows(database, "select count(*) from pgpipe.load_file") == [(0,)]


def test_a_rule_of_the_target_is_named(cli: Cli, lake: Lake, database: Database) -> None:
    """A constraint that somebody put on the target holds for loads too: the whole date is refused."""
    lake.put("2026-01-01", "product", ROWS)
    load(cli, lake.url, *KEY[:-2])
    with database.connect(autocommit=True) as conn:
        conn.execute("alter table product add constraint short check (length(text) < 10)")
    lake.put("2026-01-02", "product", [{"id": 4, "text": "short"}, {"id": 5, "text": "much too long"}])

    fails(cli("load", "--source", lake.url, *KEY), 1, "product: ", 'violates check constraint "short"')

    assert table(database, "product", "id") == {row["id"]: row for row in ROWS}


@pytest.mark.parametrize("mode", ["snapshot", "upsert"])
def test_a_mode_that_needs_a_key_says_so(cli: Cli, lake: Lake, mode: str) -> None:
    """A setting is missing, so the exit code is that of usage; the line says where to put it."""
    lake.put("2026-01-01", "product", ROWS)

    result = cli("load", "--source", lake.url, "--mode", mode, "--json")

    fails(result, 2, f"product: mode {mode} needs a key: --key COLUMN, or entity.product.key in the configuration")
