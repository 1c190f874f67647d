"""Foreign keys: rows that refer to others of the same date are loaded together with them, in an order that works."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import counts, load, rows, stages

TREE = """
    create table product (id bigint primary key, up bigint references product {}, code text not null unique);
    insert into product values (1, null, 'a'), (2, 1, 'b'), (3, 2, 'c'), (4, 3, 'd')
"""


@pytest.mark.parametrize("action", ["", "on delete cascade", "on delete set null", "deferrable initially deferred"])
def test_a_tree(cli: Cli, lake: Lake, database: Database, configure: Configure, action: str) -> None:
    """L31: rows move below rows that are new, and away from rows that go; nothing hangs on these that stays."""
    configure(key=["id"], mode="snapshot")
    with database.connect(autocommit=True) as conn:
        conn.execute(TREE.format(action).encode())
    after = {"id": [4, 3, 8, 9], "up": [9, 4, None, 8], "code": ["d", "a", "x", "b"]}  # 1 and 2 go, their codes stay
    lake.put("2026-01-02", "product", pa.table(after))

    stage = load(cli, lake.url)["product", "import"]

    assert counts(stage) == (2, 2, 2, 0)
    found = rows(database, "select * from product order by id")
    assert found == [(3, 4, "a"), (4, 9, "d"), (8, None, "x"), (9, 8, "b")]


SHOP = """
    create table brand (id bigint primary key, name text not null unique);
    create table product (id bigint primary key, brand_id bigint not null references brand {});
    create table "a price" (id bigint primary key, product_id bigint not null references product);
    insert into brand values (1, 'one'), (2, 'two'); insert into product values (1, 1), (2, 2);
    insert into "a price" values (1, 1), (2, 2)
"""
NAMES = ["a price", "alone", "brand", "product"]


def write(lake: Lake, date: str, brands: dict, products: dict, prices: dict) -> None:
    """Files of the three tables, and of one that has no link."""
    lake.put(date, "brand", pa.table({"id": list(brands), "name": list(brands.values())}))
    lake.put(date, "product", pa.table({"id": list(products), "brand_id": list(products.values())}))
    lake.put(date, "a price", pa.table({"id": list(prices), "product_id": list(prices.values())}))
    lake.put(date, "alone", pa.table({"id": [1]}))


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Database:
    """Three tables, each of which refers to another, and the settings of four entities."""
    settings = {name: {"mode": "snapshot", "key": ["id"], "search": False} for name in NAMES}
    (tmp_path / "pgpipe.json").write_text(json.dumps({"entity": settings}))
    with database.connect(autocommit=True) as conn:
        conn.execute(SHOP.format("on delete cascade").encode())
    return database


def held(database: Database) -> tuple[dict, ...]:
    """What the three tables hold."""
    return (
        dict(rows(database, "select * from brand")),
        dict(rows(database, "select id, brand_id from product")),
        dict(rows(database, 'select * from "a price"')),
    )


def test_entities_that_refer_to_each_other(cli: Cli, lake: Lake, shop: Database) -> None:
    """L31: inserts and deletes of one date go through all of them at once; no cascade takes a row that stays."""
    after = {2: "two", 3: "one"}, {1: 3, 3: 2}, {2: 1, 3: 3}  # brand 1 and product 2 go, 3 are new, the rest moves
    write(lake, "2026-01-02", *after)

    found = load(cli, lake.url)

    assert held(shop) == after
    assert {name: counts(found[name, "import"]) for name in NAMES} == {
        "a price": (1, 1, 1, 0),
        "alone": (1, 0, 0, 0),
        "brand": (1, 0, 1, 1),
        "product": (1, 1, 1, 0),
    }
    assert rows(shop, "select count(distinct xmin::text) from pgpipe.load where entity <> 'alone'") == [(1,)]
    again = load(cli, lake.url)
    assert {again[name, "import"]["state"] for name in NAMES} == {"nothing to do"}


def test_one_of_a_group_fails(cli: Cli, lake: Lake, shop: Database) -> None:
    """L31: then none of the group is visible, and the report says why for each; others go on."""
    before = held(shop)
    write(lake, "2026-01-02", {2: "two", 3: "three"}, {2: 2, 3: 3}, {2: 2, 3: 99})  # no product 99

    result = cli("load", "--source", lake.url, "--json", "--skip-embeddings")

    found = stages(result)
    assert (result.code, held(shop)) == (1, before)
    assert {name: found[name, "import"]["state"] for name in NAMES} == dict.fromkeys(NAMES, "failed") | {"alone": "ok"}
    group = "foreign keys link a price, brand, product, so they are loaded in one transaction"
    lines = sorted(result.err.splitlines())
    assert [line for line in lines if "a price_product_id_fkey" in line] == lines[:1]
    assert "Key (product_id)=(99) is not present in table" in lines[0]
    assert lines[1:] == [
        f"pgpipe: {name}: not loaded, because a price failed: {group}" for name in ("brand", "product")
    ]
    errors = rows(shop, "select entity, error from pgpipe.load where error is not null order by entity")
    assert [(name, error.startswith("not loaded, because a price failed")) for name, error in errors] == [
        ("a price", False),
        ("brand", True),
        ("product", True),
    ]

    lake.put("2026-01-02", "a price", pa.table({"id": [2, 3], "product_id": [2, 3]}))
    lake.put("2026-01-02", "brand", pa.table({"id": [3], "nam": ["three"]}))
    for command in ("plan", "load"):
        result = cli(command, "--source", lake.url, "--skip-embeddings")
        lines = sorted(result.err.splitlines())
        assert (result.code, len(lines)) == (1, 3), result
        assert "'name' is NOT NULL in the target and not in the files" in lines[1]
        assert lines[0] == f"pgpipe: a price: not loaded, because brand failed: {group}"
    assert held(shop) == before


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_circle(cli: Cli, lake: Lake, shop: Database, deferrable: bool) -> None:
    """L31: if a foreign key of it is deferrable, a circle is loaded, else it is refused by `plan` and `load`."""
    with shop.connect(autocommit=True) as conn:
        conn.execute("alter table brand add price_id bigint; update brand set price_id = id;"
                     ' alter table brand add constraint best foreign key (price_id) references "a price"')  # fmt: skip
        if deferrable:
            conn.execute("alter table brand alter constraint best deferrable")
    lake.put("2026-01-02", "brand", pa.table({"id": [2, 3], "name": ["two", "one"], "price_id": [2, 3]}))
    lake.put("2026-01-02", "product", pa.table({"id": [2, 3], "brand_id": [2, 3]}))
    lake.put("2026-01-02", "a price", pa.table({"id": [2, 3], "product_id": [2, 3]}))

    if deferrable:
        load(cli, lake.url)
        assert rows(shop, "select name, price_id from brand order by id") == [("two", 2), ("one", 3)]
        return
    for command in ("plan", "load"):
        result = cli(command, "--source", lake.url, "--skip-embeddings")
        assert (result.code, len(result.err.splitlines())) == (1, 3), result
        for line in result.err.splitlines():
            assert "a price, brand, product refer to each other in a circle of foreign keys" in line
            assert 'make one deferrable: alter table "a price" alter constraint "a price_product_id_fkey" def' in line


def test_modes_of_a_group(cli: Cli, lake: Lake, shop: Database, tmp_path: Path) -> None:
    """L31: an append and an upsert load with the others, bad rows are rejected; a date without news does nothing."""
    settings = {name: {"mode": "snapshot", "key": ["id"], "search": False} for name in NAMES}
    settings["a price"] = {"mode": "append", "bad_values": "reject", "search": False}
    settings["product"] |= {"mode": "upsert", "bad_values": "reject"}
    (tmp_path / "pgpipe.json").write_text(json.dumps({"entity": settings}))
    with shop.connect(autocommit=True) as conn:
        conn.execute('alter table product add check (id < 100); alter table "a price" add check (id < 100)')
    lake.put("2026-01-02", "brand", pa.table({"id": [1, 2, 3], "name": ["one", "two", "three"]}))
    lake.put("2026-01-02", "product", pa.table({"id": [3, 200], "brand_id": [3, 3]}))
    lake.put("2026-01-02", "a price", pa.table({"id": [3, 200], "product_id": [3, 3]}))

    found = load(cli, lake.url)

    assert held(shop)[1:] == ({1: 1, 2: 2, 3: 3}, {1: 1, 2: 2, 3: 3})
    assert [found[name, "import"]["rejected"] for name in ("a price", "brand", "product")] == [1, 0, 1]
    assert rows(shop, "select count(*) from pgpipe.rejected_row") == [(2,)]
    assert rows(shop, "select entity, finished_at is not null, read, inserted from pgpipe.load order by 1") == [
        ("a price", True, 2, 1),
        ("brand", True, 3, 1),
        ("product", True, 2, 1),
    ]
    assert load(cli, lake.url, "--entity", "a price")["a price", "import"]["state"] == "nothing to do"
