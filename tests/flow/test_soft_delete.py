"""Soft deletes: rows that are gone are marked, kept, left out of searches, and unmarked when they come back."""

import json
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import counts, fails, load, rows
from tests.flow.test_history import Nights
from tests.flow.test_nights import items, run

SOFT = {"mode": "snapshot", "key": ["id"], "soft_delete": "deleted_at", "max_deleted": "100%"}
MARKED = "select array_agg(id order by id) from product where deleted_at is not null"


@pytest.fixture
def nights(cli: Cli, lake: Lake, database: Database) -> Nights:
    """Nights of the entity `product`."""
    return Nights(cli, lake, database)


def marked(database: Database) -> list[int]:
    return rows(database, MARKED)[0][0]


def test_gone_rows_are_marked_and_come_back(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 13: a row that is gone stays with its mark and its date, counts as deleted once, and as inserted again."""
    configure(**SOFT, history=True, search={"columns": {"text": "A"}})
    moments = []
    for day, given in enumerate(([1, 2, 3], [1], [1, 4], [1, 2, 4], [2, 4]), 1):
        lake.put(f"2026-01-0{day}", "product", [*items(*given[1:]), {"id": given[0], "text": "row 1"}])
        if day == 2:
            plan, diff = (json.loads(cli(name, "--source", lake.url, "--json").out)[0] for name in ("plan", "diff"))
            assert plan["soft_delete"] == "deleted_at"
            assert "not in the files" not in plan
            assert [diff[name] for name in ("inserted", "updated", "deleted", "unchanged")] == [0, 0, 2, 1]
        if day == 4:
            diff = json.loads(cli("diff", "--source", lake.url, "--rows", "3", "--json").out)[0]
            assert [(each["change"], each["key"]) for each in diff["samples"]] == [("insert", {"id": "2"})]
        done = load(cli, lake.url)["product", "import"]
        moments.append((rows(database, "select clock_timestamp()")[0][0], counts(done), marked(database)))
    assert [moment[1:] for moment in moments] == [
        ((3, 0, 0, 0), None),
        ((0, 0, 2, 1), [2, 3]),
        ((1, 0, 0, 1), [2, 3]),
        ((1, 0, 0, 2), [3]),
        ((0, 1, 1, 1), [1, 3]),
    ]
    query = "select array_agg(id order by id), count(deleted_at) from pgpipe.as_of(null::product, %s)"
    assert [rows(database, query, moment[0])[0] for moment in moments] == [
        ([1, 2, 3], 0), ([1], 0), ([1, 4], 0), ([1, 2, 4], 0), ([2, 4], 0)
    ]  # fmt: skip
    found = "select (key ->> 'id')::int from pgpipe.text_search('product', 'row', filter => %s)"
    assert sorted(rows(database, found, None)) == [(2,), (4,)]
    assert rows(database, found, '{"id": [1, 2]}') == [(2,)]


def test_gates_count_marks(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 13: max_deleted counts the rows that a load would mark, of those that are there; never all of them."""
    configure(**SOFT | {"max_deleted": "50%"})
    lake.put("2026-01-01", "product", items(*range(400)))
    load(cli, lake.url, "--skip-search")
    lake.put("2026-01-02", "product", items(*range(220)))
    load(cli, lake.url, "--skip-search")
    lake.put("2026-01-03", "product", items(*range(109)))
    fails(
        run(cli, lake),
        1,
        "would delete 111 of the 220 rows of public.product, such as (id) 109",
        "--accept max_deleted",
    )
    lake.put("2026-01-03", "product", items(*range(400, 500)))
    fails(run(cli, lake), 1, "220 of the 220 rows")
    lake.put("2026-01-03", "product", items(*range(110), *range(300, 400)))
    configure(**SOFT | {"max_deleted": "50%", "checks": {"deleted_at is null": "error"}})  # as rows become
    assert counts(load(cli, lake.url, "--skip-search")["product", "import"]) == (100, 0, 110, 110)
    assert rows(database, "select count(*), count(deleted_at) from product") == [(400, 190)]


def test_unique_values_of_marked_rows(nights: Nights, cli: Cli, lake: Lake, configure: Configure) -> None:
    """Issue 13: a new row with the unique value of one that is marked is refused with the index that helps."""
    configure(**SOFT)
    nights.load(*items(1, 2))
    nights.sql("alter table product add constraint one_text unique (text)")
    lake.put("2026-01-02", "product", [*items(1), {"id": 9, "text": "row 2"}])
    failed = run(cli, lake)
    assert (failed.code, "put in the place of one_text: create" in failed.err) == (1, True), failed
    nights.sql(f"alter table product drop constraint one_text; {failed.err.rpartition('one_text: ')[2]}")
    load(cli, lake.url, "--skip-search")
    lake.put("2026-01-03", "product", [{"id": 1, "text": "row 2"}, {"id": 2, "text": "row 1"}])
    assert counts(load(cli, lake.url, "--skip-search")["product", "import"]) == (1, 1, 1, 0)


def test_the_column_of_marks(nights: Nights, cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 13: a column that is renamed, dropped, of another type or in the files stops a load with one clear line."""
    nights.load(*items(1, 2))
    lake.put("2026-01-10", "product", [{"id": 1, "text": "row 1", "deleted_at": 1}])
    configure(**SOFT | {"mode": "upsert"})
    fails(run(cli, lake), 2, "soft_delete is for rows that a load deletes")
    configure(**SOFT)
    fails(run(cli, lake), 1, "'deleted_at'", "have a column of this name")
    lake.put("2026-01-10", "product", items(1))
    configure(**SOFT | {"soft_delete": "text"})
    fails(run(cli, lake), 1, "'text'")
    configure(**SOFT)
    load(cli, lake.url, "--skip-search")
    lake.put("2026-01-11", "product", items(1, 4))
    nights.sql("alter table product rename column deleted_at to gone_at")
    fails(run(cli, lake), 1, "deleted_at of public.product", "was renamed, dropped or altered")
    with pytest.raises(psycopg.Error, match="product has no column deleted_at"):
        rows(database, "select pgpipe_internal.search_condition('product', null)")
    doctor = json.loads(cli("doctor", "--skip-model", "--json").out)
    assert [each["state"] for each in doctor if each["check"] == "soft deletes"] == ["failure"]
    configure(**SOFT | {"soft_delete": None})
    fails(run(cli, lake), 1, "deleted_at of public.product", "was renamed, dropped or altered")
    configure(**SOFT | {"soft_delete": "gone_at"})
    load(cli, lake.url, "--skip-search")
    lake.put("2026-01-12", "product", items(1, 5))
    configure(**SOFT)
    fails(run(cli, lake), 1, 'marked in gone_at: write soft_delete = "gone_at"')
    configure(**SOFT | {"soft_delete": None})  # it stays as it is
    assert counts(load(cli, lake.url, "--skip-search")["product", "import"]) == (1, 0, 1, 1)
    lake.put("2026-01-13", "product", items(1))
    configure(**SOFT | {"soft_delete": False})
    assert counts(load(cli, lake.url, "--skip-search")["product", "import"]) == (0, 0, 3, 1)
    assert rows(database, "select id from product") == [(1,)]


def test_marks_of_change_files(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 13: a change that deletes marks its row; the next one of the key unmarks it, and an older one does not."""

    def change(day: int, *changes: tuple[int, str, int]) -> tuple[int, ...]:
        named = [{"id": id_, "op": op, "seq": seq} for id_, op, seq in changes]
        lake.put(f"2026-01-0{day}", "product", named)
        return counts(load(cli, lake.url, "--skip-search")["product", "import"])

    kept = {"soft_delete": "gone", "history": True, "contract": "freeze"}
    configure(mode="upsert", key=["id"], delete="op = 'D'", order=["seq"], **kept)
    assert change(1, (1, "I", 1), (2, "I", 2), (3, "I", 3)) == (3, 0, 0, 0)
    assert change(2, (1, "D", 4), (2, "D", 5), (9, "D", 6)) == (0, 0, 2, 0)
    state = "select array_agg(id order by id) filter (where gone is null), array_agg(seq order by id) from product"
    assert rows(database, state) == [([3], [1, 2, 3])]
    assert change(3, (1, "U", 3), (2, "D", 7), (3, "D", 2)) == (0, 0, 0, 0)
    assert change(4, (1, "I", 8), (2, "U", 9), (3, "D", 10)) == (2, 0, 1, 0)
    assert rows(database, state) == [([1, 2], [8, 9, 3])]
    assert rows(database, "select array_agg(id order by id) from pgpipe.as_of(null::product, now())") == [([1, 2],)]


def test_linked_rows_that_are_gone(cli: Cli, lake: Lake, database: Database, tmp_path: Path) -> None:
    """Issue 13: rows of others may go on referring to a row that is marked, and to one of the same table."""
    tables = """
        create table brand (id bigint primary key, up bigint references brand, code text, deleted_at timestamptz);
        create unique index on brand (code) where deleted_at is null;
        create table product (id bigint primary key, brand bigint not null references brand on delete cascade)
    """
    with database.connect(autocommit=True) as conn:
        conn.execute(tables.encode())
    named = {name: SOFT | {"search": False, "embed": False} for name in ("brand", "product")}
    (tmp_path / "pgpipe.json").write_text(json.dumps({"entity": named}), encoding="utf-8")
    for day, brands, products in ((1, (1, 2, 3), (1, 2, 3)), (2, (1, 3), (1, 2)), (3, (1, 2, 3), (2, 3))):
        brand = [{"id": n, "up": n - 1 or None, "code": f"{(n + day) % 3}"} for n in brands]
        lake.put(f"2026-01-0{day}", "brand", pa.Table.from_pylist(brand))
        lake.put(f"2026-01-0{day}", "product", [{"id": n, "brand": n} for n in products])
    done = [load(cli, lake.url, "--date", f"2026-01-0{day}") for day in (1, 2, 3)]
    assert [counts(each["brand", "import"]) for each in done] == [(3, 0, 0, 0), (0, 2, 1, 0), (1, 2, 0, 0)]
    assert [counts(each["product", "import"]) for each in done] == [(3, 0, 0, 0), (0, 0, 1, 2), (1, 0, 1, 1)]
    assert rows(database, "select id from product where deleted_at is not null") == [(1,)]

    with database.connect(autocommit=True) as conn:
        conn.execute("alter table product drop constraint product_brand_fkey, add foreign key (brand) references brand")
    named["brand"]["soft_delete"] = False
    (tmp_path / "pgpipe.json").write_text(json.dumps({"entity": named}), encoding="utf-8")
    lake.put("2026-01-04", "brand", pa.Table.from_pylist([{"id": n, "up": None, "code": f"{n}"} for n in (2, 3)]))
    lake.put("2026-01-04", "product", [{"id": n, "brand": n} for n in (2, 3)])
    failed = run(cli, lake)
    assert failed.code == 1
    assert 'brand: update or delete on table "brand" violates' in failed.err
    assert 'Key (id)=(1) is still referenced from table "product"' in failed.err
