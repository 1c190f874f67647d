"""pgpipe plan: before migrate, over a range of dates, of declared columns, and of a ledger that the table belies."""

import json
from typing import Any

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import fails, load, rows
from tests.flow.test_nights import SNAPSHOT, items

OURS = "drop schema pgpipe, pgpipe_internal, pgpipe_target, pgpipe_staging cascade"


def plans(cli: Cli, lake: Lake, *options: str) -> list[dict[str, Any]]:
    """What `plan` says of each entity and date."""
    result = cli("-q", "plan", "--source", lake.url, "--json", *options)
    assert (result.code, result.err) == (0, ""), result
    found: list[dict[str, Any]] = json.loads(result.out)
    return found


def test_a_plan_needs_no_migrate(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 13: a database without pgpipe's schema is planned for as an empty one, and `migrate` is named."""
    lake.put("2026-01-01", "product", [{"id": 1, "code": "a", "at": "2026-01-01 00:00:00Z"}])
    lake.put("2026-01-01", "users", items(1))
    configure(key=["id"], types={"id": "numeric(9,0)", "code": "inet", "at": "timestamptz(3)"})
    with database.connect(autocommit=True) as conn:
        conn.execute(OURS)

    found = {plan["entity"]: plan for plan in plans(cli, lake)}

    assert found["product"]["columns"] == {
        "id": "numeric(9,0)",
        "code": "inet",
        "at": "timestamp(3) with time zone",
    }
    assert {plan["first"] for plan in found.values()} == {"run `pgpipe migrate`"}
    assert "before the first load, run `pgpipe migrate`" in cli("plan", "--source", lake.url).err
    assert rows(database, "select count(*) from pg_namespace where nspname like 'pgpipe%'") == [(0,)]
    with database.connect(autocommit=True) as conn:
        conn.execute("create table users (id bigint)")
    fails(
        cli("-q", "plan", "--source", lake.url), 1, "users: the table public.users is there", "after `pgpipe migrate`"
    )
    configure(types={"id": "nosuch"})
    assert "nosuch" in cli("-q", "plan", "--source", lake.url).err


def test_a_plan_of_a_range_foresees_its_loads(cli: Cli, lake: Lake) -> None:
    """Issue 13: a date is planned after those before it: never "nothing" where the load will write."""
    lake.put("2026-01-01", "item", items(1, 2))
    load(cli, lake.url, *SNAPSHOT)
    lake.put("2026-01-02", "item", items(1, 3, 4))
    lake.put("2026-01-03", "item", items(1, 2))  # the bytes of the first date, which are not in the target by then
    lake.put("2026-01-03", "new", items(1))
    lake.put("2026-01-04", "item", items(1, 2))
    lake.put("2026-01-04", "new", items(1))
    options = ("--date", "2026-01-01..", *SNAPSHOT)

    planned = [
        (p["entity"], p["action"].replace("recognise", "nothing"))
        for p in plans(cli, lake, *options, "--accept", "max_deleted")
    ]

    assert planned == [
        ("item", "nothing"),
        ("item", "merge"),
        ("item", "merge"),
        ("new", "create"),
        ("item", "nothing"),
        ("new", "nothing"),
    ]
    result = cli("load", "--source", lake.url, *options, "--accept", "max_deleted", "--skip-embeddings", "--json")
    stages = [s for report in json.loads(result.out)["dates"] for s in report["stages"] if s["stage"] == "import"]
    written = [stage["state"] == "ok" for stage in stages]
    assert written == [action in {"merge", "create"} for _, action in planned]


def test_a_second_date_without_a_key_in_a_range(cli: Cli, lake: Lake) -> None:
    """Issue 13: what the second date of a range will be refused for, the plan says before the first is loaded."""
    lake.put("2026-01-01", "item", items(1))
    lake.put("2026-01-02", "item", items(2))

    fails(
        cli("plan", "--source", lake.url, "--skip-search", "--skip-embeddings", "--date", "2026-01-01.."),
        1,
        "item: without a key 2026-01-02 would be added",
    )


DECLARED: list[tuple[dict[str, Any], str]] = [
    ({"search": {"columns": {"titel": "A"}}}, "search names the column 'titel'"),
    ({"search": {"columns": {"title": "A"}, "language_column": "lang"}}, "search names the column 'lang'"),
    ({"embed": {"columns": ["title", "body"]}}, "embed names the column 'body'"),
    ({"embed": {"columns": ["title"], "filters": ["brand"]}}, "embed names the column 'brand'"),
]


def test_declared_columns_are_there(cli: Cli, lake: Lake, configure: Configure) -> None:
    """Issue 13: a declared column that neither files nor target have is refused by name, by plan, diff and load."""
    lake.put("2026-01-01", "product", [{"id": 1, "title": "a"}])
    for there in ("the files do not have", "neither the files nor public.product have"):
        for declared, named in DECLARED:
            configure(key=["id"], **declared)
            for command in ("plan", "diff"):
                fails(cli(command, "--source", lake.url), 1, f"product: {named}, which {there}; they have id, title")
        configure(key=["id"], **DECLARED[0][0])
        fails(cli("load", "--source", lake.url), 1, "has no column titel")
        configure(key=["id"])
        load(cli, lake.url)


def test_an_empty_table_that_the_ledger_takes_for_full(cli: Cli, lake: Lake, database: Database) -> None:
    """Issue 13: plan and load say it of a table that was made again from a dump of its shape, with the trigger."""
    lake.put("2026-01-01", "item", items(1, 2))
    load(cli, lake.url, *SNAPSHOT)
    assert "notes" not in plans(cli, lake, *SNAPSHOT)[0]
    with database.connect(autocommit=True) as conn:
        (shape,) = conn.execute(
            "select pg_get_triggerdef(oid) from pg_trigger where tgname = 'pgpipe_ledger'"
        ).fetchone()
        conn.execute("drop table item")
        assert plans(cli, lake, *SNAPSHOT)[0]["action"] == "create"
        conn.execute("create table item (id bigint primary key, text text)")
        conn.execute(shape)

    for note in (plans(cli, lake, *SNAPSHOT)[0]["notes"][0], load(cli, lake.url, *SNAPSHOT)["item", "import"]["note"]):
        assert "public.item is empty, though the ledger has 2 rows of its files" in note
        assert "truncate public.item" in note

    with database.connect(autocommit=True) as conn:
        conn.execute("truncate public.item")
    assert load(cli, lake.url, *SNAPSHOT)["item", "import"]["inserted"] == 2
