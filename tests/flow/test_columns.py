"""Columns that are left out, renamed or hashed before a byte leaves the machine."""

import hmac
import json
import os
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Lake
from tests.fixtures.command import Configure
from tests.flow.support import REJECTED, counts, fails, load, rows

KEY = "a key of this test"
SECRET = "ann@example.com"


def hashed(value: object) -> str:
    """As the target has it."""
    return hmac.digest(KEY.encode(), str(value).encode(), "sha256").hex()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret, where a service has it."""
    monkeypatch.setenv("PGPIPE_LOAD__HASH_KEY", KEY)


def test_exclude_rename_and_hash(database: Database, cli: Cli, lake: Lake, configure: Configure) -> None:
    """Issue 13 and L14: a column is left out, renamed, or stored as a keyed hash; `plan` and `load` agree.

    So a name that PostgreSQL would cut, or keeps for itself, stops nothing.
    """
    mail, note = "mail" + 60 * "l", "note" + 60 * "e"  # 64 bytes each
    configure(key=["no"], mode="snapshot", exclude=["ctid", note], rename={"id": "no", mail: "email"}, hash=["email"])
    people = [{"id": 1, mail: SECRET, "ctid": "078-05", note: {"a": [1]}}, {"id": 2, mail: None, "ctid": None}]
    lake.put("2026-11-20", "product", pa.Table.from_pylist(people))

    (plan,) = json.loads(cli("plan", "--source", lake.url, "--json").out)
    done = load(cli, lake.url)

    assert plan["columns"] == {"no": "bigint", "email": "text"}
    assert counts(done["product", "import"]) == (2, 0, 0, 0)
    assert rows(database, "select * from product order by no") == [(1, hashed(SECRET)), (2, None)]
    lake.put("2026-11-21", "product", pa.Table.from_pylist(people))
    assert load(cli, lake.url)["product", "import"]["state"] == "nothing to do"


def test_a_column_that_is_renamed_at_the_source(database: Database, cli: Cli, lake: Lake, configure: Configure) -> None:
    """With `rename` it stays what it was: the same rows, no column more, and no vector computed again."""
    embed = {"columns": ["name"]}
    configure(key=["id"], mode="snapshot", embed=embed)
    lake.put("2026-11-20", "product", [{"id": 1, "name": "a blue bicycle"}, {"id": 2, "name": "a red door"}])
    load(cli, lake.url, embed=True)
    before = rows(database, "select xmin::text, id, name from product order by id")
    with database.connect() as conn:
        conn.execute("delete from pgpipe.job")
    configure(key=["id"], mode="snapshot", embed=embed, rename={"title": "name"})
    lake.put("2026-11-21", "product", [{"id": 1, "title": "a blue bicycle"}, {"id": 2, "title": "a red door"}])

    done = load(cli, lake.url, embed=True)

    assert counts(done["product", "import"]) == (0, 0, 0, 2)
    assert rows(database, "select xmin::text, id, name from product order by id") == before
    assert rows(database, "select count(*) from pgpipe.job") == [(0,)]
    assert load(cli, lake.url, "--date", "2026-11-20", "--accept", "older")["product", "import"]["unchanged"] == 2


TYPED = {
    "text": (pa.array([SECRET, None, ""]), [SECRET, None, ""]),
    "large": (pa.array([SECRET, None], pa.large_string()), [SECRET, None]),
    "view": (pa.array([SECRET, None], pa.string_view()), [SECRET, None]),
    "dictionary": (pa.array([SECRET, None, SECRET]).dictionary_encode(), [SECRET, None, SECRET]),
    "bytes": (pa.array([b"x", None]), ["x", None]),
    "number": (pa.array([7, None, -7], pa.int16()), [7, None, -7]),
    "uuid": (pa.array([b"\1" * 16, None], pa.uuid()), ["01010101-0101-0101-0101-010101010101", None]),
    "null": (pa.nulls(2), [None, None]),
    "boolean": (pa.array([True, False]), ["true", "false"]),
    "date": (pa.array([20_000, None], pa.int32()).cast(pa.date32()), ["2024-10-04", None]),
    "time of a date": (pa.array([86_400_000 * 20_000]).cast(pa.date64()), ["2024-10-04"]),
}


@pytest.mark.parametrize("kind", TYPED)
def test_what_can_be_hashed(kind: str) -> None:
    """Equal values give equal hashes whatever type a file has them in; NULL stays NULL."""
    from pgpipe.load.rows.hashed import hashed as hash_of
    from pgpipe.load.rows.hashed import may_be_hashed

    array, expected = TYPED[kind]

    assert may_be_hashed(array.type)
    assert hash_of(array, KEY.encode()).to_pylist() == [None if v is None else hashed(v) for v in expected]


def test_a_date_that_python_lacks_is_hashed() -> None:
    """Dates of far years have hashes too, each its own."""
    from pgpipe.load.rows.hashed import hashed as hash_of

    far = pa.array([2**31 - 1, -(2**31), 2**31 - 1], pa.int32()).cast(pa.date32())
    first, second, third = hash_of(far, KEY.encode()).to_pylist()

    assert first == third != second


WRONG = {
    "no key": ({"hash": ["email"]}, "entity.product.hash needs a secret key; set PGPIPE_LOAD__HASH_KEY"),
    "unknown hash": (
        {"hash": ["mail"]},
        "hash names 'mail', which no file has after renaming; the files have id, email",
    ),
    "unknown rename": ({"rename": {"nam": "x"}}, "rename names 'nam', which no file has; the files have id, email"),
    "misspelt exclude": (
        {"exclude": ["emails"]},
        "exclude names 'emails', which no file has; the files have id, email",
    ),
    "both": ({"rename": {"email": "x"}, "exclude": ["email"]}, "rename names 'email', which exclude leaves out"),
    "one name": (
        {"rename": {"email": "name"}},
        "'email' becomes 'name', which file:",
        " has as well; exclude or rename",
    ),
    "nothing left": ({"exclude": ["id", "email", "name", "price", "deep"]}, "exclude leaves no column of file:"),
    "a fraction": ({"hash": ["price"]}, "hash names 'price', which is decimal128(3, 2) in file:", "can be hashed"),
    "a struct": ({"hash": ["deep"]}, "hash names 'deep', which is struct<a: int64> in file:"),
    "a folder": ({"hash": ["region"]}, "hash names 'region', which a folder gives"),
}


@pytest.mark.parametrize("case", WRONG)
def test_settings_that_do_not_fit(
    cli: Cli, lake: Lake, configure: Configure, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is refused by name, by `plan` and by `load`, and no row is loaded."""
    settings, *said = WRONG[case]
    configure(key=["id"] if case != "nothing left" else [], **settings)
    row = {"id": 1, "email": SECRET, "name": "n", "price": Decimal("1.50"), "deep": {"a": 1}}
    lake.put("2026-11-20", "product", [row], name="region=eu/p.parquet" if case == "a folder" else "p.parquet")
    if case == "no key":
        monkeypatch.delenv("PGPIPE_LOAD__HASH_KEY")

    for command in ("plan", "load"):
        result = cli(command, "--source", lake.url)
        assert all(part in result.err for part in said), result
        assert result.code != 0
        assert SECRET not in result.out + result.err


def test_an_excluded_column_that_is_gone(cli: Cli, lake: Lake, configure: Configure) -> None:
    """A source may stop to write it: the plan says so, and the load goes on."""
    configure(key=["id"], exclude=["ssn"])
    lake.put("2026-11-20", "product", [{"id": 1, "name": "n"}])

    (plan,) = json.loads(cli("plan", "--source", lake.url, "--json").out)

    assert plan["notes"] == ["excluded, but not in the files: ssn"]
    assert load(cli, lake.url)["product", "import"]["inserted"] == 1


def test_an_excluded_column_is_not_read(database: Database, cli: Cli, lake: Lake, configure: Configure) -> None:
    """Damage in it does no harm, whether the rows are read as ever or a few at a time."""
    configure(key=["id"], exclude=["blob"])
    for name, few in (("a", 1), ("b", 40)):
        ids = list(range(few * 1000, few * 1000 + 40))
        table = pa.table({"id": ids, "blob": [os.urandom(20_000).hex() for _ in ids], "text": ["x" * 10 * few] * 40})
        file = lake.put(
            "2026-11-20", "product", table, name=f"{name}.parquet", compression="none", use_dictionary=False
        )
        column = pq.read_metadata(file).row_group(0).column(1)
        content = bytearray(file.read_bytes())
        content[column.data_page_offset : column.data_page_offset + column.total_compressed_size] = b"\xff" * (
            column.total_compressed_size
        )
        file.write_bytes(content)

    assert load(cli, lake.url)["product", "import"]["inserted"] == 80
    assert rows(database, "select count(*), max(length(text)) from product") == [(80, 400)]


def test_values_stay_secret(database: Database, cli: Cli, lake: Lake, configure: Configure, logged: list[dict]) -> None:
    """A hashed or excluded value is in no message, no rejected row, no log and no sample."""
    configure(key=["id"], exclude=["ssn"], hash=["email"], bad_values="reject", search=None, embed=None)
    bad = [
        {"id": n, "email": f"{SECRET} {n} is a title of prose", "ssn": "078-05-1120", "name": "a\0b"} for n in (1, 2)
    ]
    lake.put("2026-11-20", "product", bad)

    plan = cli("plan", "--source", lake.url)
    done = cli("load", "--source", lake.url, "--skip-embeddings", "--json")
    (first, _) = rows(database, REJECTED)

    assert first[-1] == {"id": 1, "email": hashed(bad[0]["email"]), "name": "a␀b"}
    lake.put("2026-11-21", "product", [{"id": SECRET, "email": SECRET, "ssn": "078-05-1120", "name": "n"}])
    configure(key=["email"], exclude=["ssn"], hash=["email"], types={"id": "bigint"})
    failed = cli("load", "--source", lake.url, "--skip-embeddings")
    lake.put("2026-11-21", "product", [{"id": 5, "email": SECRET, "ssn": "078-05-1120", "name": "n"}] * 2)
    doubled = fails(cli("load", "--source", lake.url, "--skip-embeddings"), 1, "product")
    assert hashed(SECRET)[:60] in doubled
    told = [plan.out, plan.err, done.out, done.err, failed.out, failed.err, doubled, json.dumps(logged, default=str)]
    told += [str(rows(database, "select to_jsonb(l) from pgpipe.load l")), str(rows(database, REJECTED))]
    for text in told:
        assert "078-05" not in text
        assert f"{SECRET} 1" not in text


def test_a_key_is_hashed(database: Database, cli: Cli, lake: Lake, configure: Configure) -> None:
    """Rows are told apart by the hash of their key; the setting names the column as the target has it."""
    configure(key=["person"], mode="snapshot", rename={"mail": "person"}, hash=["person"])
    lake.put("2026-11-20", "product", [{"mail": SECRET, "n": 1}, {"mail": "bob", "n": 1}])
    load(cli, lake.url)
    lake.put("2026-11-21", "product", [{"mail": SECRET, "n": 2}, {"mail": "bob", "n": 1}])

    assert counts(load(cli, lake.url)["product", "import"]) == (0, 1, 0, 1)
    assert rows(database, "select n from product where person = %s", hashed(SECRET)) == [(2,)]


def test_the_key_of_hashes_is_a_secret(cli: Cli, tmp_path: Path) -> None:
    """`config show` and an error of the configuration do not say it."""
    (tmp_path / "pgpipe.toml").write_text(
        '[load]\nhash_key = ["oops, the key"]\n[entity.product]\nhash_key = "other key"\n'
    )
    shown = cli("config", "show")
    assert "oops" not in shown.out + shown.err
    (tmp_path / "pgpipe.toml").write_text('[entity.product]\nhash_key = "other key"\n')
    shown = cli("config", "show", "--json")
    assert KEY not in shown.out
    assert "other key" not in shown.out
