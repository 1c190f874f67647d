"""Keys that are proposed where an entity has none: found in footers and data, said with a reason, never adopted."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from pgpipe.db import Database
from pgpipe.load.plan import propose
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import fails, load, rows

MANY = 300
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
Columns = Mapping[str, Any]


def numbered(**columns: Any) -> Columns:
    """Columns, by what gives each row's value."""
    return {name: [of(n) for n in range(MANY)] if callable(of) else [of] * MANY for name, of in columns.items()}


def proposed(cli: Cli, lake: Lake, *options: str) -> dict[str, Any] | None:
    """What `plan --json` proposes for the first entity."""
    result = cli("plan", "--source", lake.url, "--skip-search", "--skip-embeddings", "--json", *options)
    assert result.code == 0, result.err
    (entry,) = json.loads(result.out)
    found: dict[str, Any] | None = entry.get("proposed_key")
    return found


CASES: dict[str, tuple[Columns, list[str] | None]] = {
    "a name that says so comes first": (numbered(a=int, title=str, sku=lambda n: f"s{n}"), ["sku"]),
    "products": (numbered(shop_id=int, product_id=int), ["product_id"]),
    "an id that repeats, and a column that does not": (numbered(id=lambda n: n // 2, a=int), ["a"]),
    "a NULL": (numbered(id=lambda n: n or None, b_code=lambda n: f"b{n}"), ["b_code"]),
    "neither floats nor times": (
        numbered(
            id=float,
            key=lambda n: NOON + timedelta(seconds=n),
            no=lambda n: NOON.replace(tzinfo=None, hour=0, minute=n // 60, second=n % 60),
        ),
        None,
    ),
    "a pair": (numbered(order_id=lambda n: n // 3, line=lambda n: n % 3, note="x"), ["order_id", "line"]),
    "a pair with a NULL": (numbered(order_id=lambda n: n // 3, line=lambda n: n % 3 or None), None),
    "prose": (numbered(text=lambda n: f"{n} " + "word " * 20), None),
    "nothing": (numbered(id=1, text="x"), None),
    "whole decimals, camel case": (numbered(price=Decimal, productId=Decimal), ["productId"]),
    "days": (numbered(day=lambda n: date(2020, 1, 1) + timedelta(days=n), price=1), ["day"]),
    "few rows are luck": ({"a": [1, 2], "text": ["x", "y"]}, None),
    "few rows with an id": ({"a": [1, 2], "id": [7, 8]}, ["id"]),
    "one row": ({"id": [1]}, None),
}


def test_what_is_proposed(cli: Cli, lake: Lake) -> None:
    """Issue 13: of an entity without a key `plan` names columns that are unique and not null in all rows, or none."""
    for case, (columns, _) in CASES.items():
        lake.put("2026-01-01", case, pa.table(columns))

    result = cli("plan", "--source", lake.url, "--skip-search", "--skip-embeddings", "--json")

    found = {entry["entity"]: entry.get("proposed_key", {}).get("columns") for entry in json.loads(result.out)}
    assert found == {case: expected for case, (_, expected) in CASES.items()}


def test_the_proposal_says_why_and_what_to_write(
    cli: Cli, lake: Lake, database: Database, configure: Configure
) -> None:
    """Issue 13: `plan` and the first load give the reason and the line, and adopt nothing; the line then works."""
    lake.put("2026-01-01", "product", pa.table(numbered(id=int, text="x")))
    reason = "id is unique and not null in all 300 rows of the date"

    found = proposed(cli, lake)
    shown = cli("plan", "--source", lake.url).out
    note = load(cli, lake.url)["product", "import"]["note"]

    assert found is not None
    assert (found["write"], found["reason"]) == ('[entity.product]\nkey = ["id"]\n', reason)
    assert "if it is right, write" in shown
    assert f'write key = ["id"] or mode = "append" under [entity.product]: {reason}' in note
    assert rows(database, "select pgpipe_row from product where id = 0") == [(1,)]

    lake.put("2026-01-02", "product", pa.table(numbered(id=lambda n: n + 1, text="y")))
    for command in ("plan", "load"):
        fails(cli(command, "--source", lake.url, "--json"), 1, "without a key 2026-01-02", 'key = ["id"]', reason)
    configure(key=["id"])
    assert proposed(cli, lake) is None


def test_where_nothing_is_proposed(cli: Cli, lake: Lake, configure: Configure) -> None:
    """Issue 13: a user's key or append is not questioned; a mode that needs a key is refused with one."""
    lake.put("2026-01-01", "product", pa.table(numbered(id=int)))
    assert proposed(cli, lake, "--key", "id") is None
    fails(cli("load", "--source", lake.url, "--mode", "snapshot"), 2, "mode snapshot needs a key", 'key = ["id"]')
    configure(mode="append")
    assert proposed(cli, lake) is None


def test_names_are_those_of_the_target(
    cli: Cli, lake: Lake, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 13: columns that are excluded, renamed or hashed count as the target has them."""
    monkeypatch.setenv("PGPIPE_LOAD__HASH_KEY", "secret")
    configure(exclude=["id"], rename={"nummer": "code", "a": "b"}, hash=["mail_id"])
    table = pa.table(numbered(id=int, nummer=lambda n: n // 2, a=lambda n: n % 2, mail_id=lambda n: n // 2))
    lake.put("2026-01-01", "product", table)
    found = proposed(cli, lake)
    assert found is not None
    assert found["columns"] == ["code", "b"]


def test_keys_of_folders(cli: Cli, lake: Lake) -> None:
    """Issue 13: an id that each region counts for itself is a key with the region; files of one schema are one date."""
    for region in ("eu", "us"):
        lake.put("2026-01-01", "item", pa.table(numbered(id=int)), f"region={region}/a.parquet")
    found = proposed(cli, lake)
    assert found is not None
    assert found["columns"] == ["id", "region"]


def test_a_look_is_bounded(cli: Cli, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 13: if not all rows were looked at, the columns are not called unique, and the number of rows is said."""
    monkeypatch.setattr(propose, "MOST_ROWS", 200)
    for name in ("a", "b"):
        lake.put("2026-01-01", "item", pa.table(numbered(id=lambda n: f"{n}")), f"{name}.parquet")

    found = proposed(cli, lake)

    assert found is not None
    assert (found["unique"], found["looked_at"], found["rows"]) == (False, 300, 600)
    assert found["reason"] == "300 of 600 rows were looked at; there, id has no value twice and no NULL"


def test_footers_come_first(cli: Cli, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 13: columns that a footer rules out are not read: with a NULL, constant, or of fewer numbers than rows."""
    read: list[str] = []
    look = propose.alone

    def spied(part: Any, names: Any) -> Any:
        read.extend(names)
        return look(part, names)

    monkeypatch.setattr(propose, "alone", spied)
    table = pa.table(numbered(a_id=1, b_id=lambda n: n or None, c_id=lambda n: n * 7 % 299, d_id=lambda n: f"{n}"))
    lake.put("2026-01-01", "item", table)

    found = proposed(cli, lake)

    assert (found and found["columns"], read) == (["d_id"], ["d_id"])
