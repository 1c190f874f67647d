"""Gates: what a load must meet before anything of it is visible, and what a check of the configuration may do."""

import json

import pytest
from _pytest.mark import ParameterSet

from pgpipe.db import Connection, Database
from tests.conftest import Cli, Configure, Lake, also_on_16
from tests.flow.support import counts, fails, load, rows, stages
from tests.flow.test_nights import ids, items, run
from tests.sql.support import value

Row = dict[str, object]
ITEMS = "create table product (id bigint primary key, text text, price numeric not null default 1)"


def long(*values: object) -> ParameterSet:
    """A case for `make test-long`."""
    return pytest.param(*values, marks=pytest.mark.long)


def prices(*values: int | None) -> list[Row]:
    """Rows of these prices, with ids from 0 on."""
    return [{"id": number, "price": value} for number, value in enumerate(values)]


@pytest.mark.parametrize(
    ("mode", "limit", "changed", "refused"),
    [
        long("snapshot", None, 200, None),
        ("upsert", "25%", 50, None),
        ("snapshot", "25%", 51, "max_changed is 25 %"),
        long("upsert", 5, 6, "max_changed is 5 rows"),
        ("upsert", "0%", 1, "max_changed is 0 rows"),
        long("snapshot", "100%", 200, None),
    ],
)
def test_a_load_updates_no_more_than_it_may(
    cli: Cli,
    lake: Lake,
    database: Database,
    configure: Configure,
    mode: str,
    limit: object,
    changed: int,
    refused: str | None,
) -> None:
    """Issue 13: more updates than `max_changed` leave the old state; the line names rule, numbers and keys."""
    configure(mode=mode, key=["id"], max_changed=limit)
    lake.put("2026-01-01", "product", items(*range(200)))
    load(cli, lake.url)
    new = [{"id": 900 + number, "text": "new"} for number in range(100)]  # are no base of a share
    lake.put(
        "2026-01-02", "product", [*({"id": n, "text": "x"} for n in range(changed)), *items(*range(changed, 200)), *new]
    )

    result = run(cli, lake)

    if refused is None:
        assert counts(stages(result)["product", "import"]) == (100, changed, 0, 200 - changed)
        return
    line = fails(result, 1, refused, f"update {changed} of the 200 rows", "public.product", "--accept max_changed")
    assert "such as (id) 0" in line
    assert ("(id) 0; 1; 2:" in line) == (changed > 2)
    assert rows(database, "select count(*), min(text), max(text) from product") == [(200, "row 0", "row 99")]
    load(cli, lake.url, "--accept", "max_changed")
    assert len(ids(database, "product")) == 300


def test_all_broken_limits_are_said_at_once(cli: Cli, lake: Lake, configure: Configure) -> None:
    """Issue 13: who reads the line at night learns all that has to pass."""
    configure(mode="snapshot", key=["id"], max_changed=0, max_deleted=0)
    lake.put("2026-01-01", "product", items(1, 2))
    load(cli, lake.url)
    lake.put("2026-01-02", "product", [{"id": 1, "text": "x"}])

    fails(run(cli, lake), 1, "delete 1 of the 2", "update 1 of the 1", "`--accept max_deleted --accept max_changed`")

    assert load(cli, lake.url, "--accept", "max_deleted", "--accept", "max_changed")


@pytest.mark.parametrize("mode", ["append", "snapshot", long("upsert")])
def test_a_date_must_have_rows(
    cli: Cli, lake: Lake, database: Database, configure: Configure, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Issue 13: a date below `min_rows` is refused by plan and load, the first too; rows of its earlier files count."""
    monkeypatch.setenv("PGPIPE_LOAD__MIN_ROWS", "3")
    settings: Row = {"mode": mode, "key": [] if mode == "append" else ["id"]}
    configure(**settings)
    lake.put("2026-01-01", "product", items(1, 2))

    for command in ("plan", "load"):
        result = cli(command, "--source", lake.url, "--json")
        fails(
            result, 1, "product: 2026-01-01 has 2 rows, and min_rows is 3", "nothing was changed", "--accept min_rows"
        )
    assert rows(database, "select to_regclass('product')") == [(None,)]

    lake.put("2026-01-01", "product", items(1, 2, 3))
    load(cli, lake.url)
    lake.put("2026-01-01", "product", items(4), "late.parquet")
    load(cli, lake.url)
    lake.put("2026-01-02", "product", [*items(5, 6), {"id": 7, "text": "nul \0"}])
    configure(**settings, bad_values="reject", max_deleted=1.0)
    fails(run(cli, lake), 1, "2026-01-02 has 2 rows, and min_rows is 3")  # a rejected row is none
    assert ids(database, "product") == {1, 2, 3, 4}
    load(cli, lake.url, "--accept", "min_rows")


def test_a_check_holds_rows_as_they_become(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 13: a condition sees the target's types and the values that stay; a query sees old and new rows."""
    with database.connect(autocommit=True) as conn:
        conn.execute(ITEMS)
        conn.execute("insert into product values (0, 'cheap', 5), (1, 'dear', 500)")
    lake.put("2026-01-01", "product", prices(50, 600, None))
    jump = "select staged.id from staged join product old using (id) where staged.price >= 10 * old.price;"

    for check, found in (
        ({"text <> 'dear'": "error"}, "1 row breaks the check \"text <> 'dear'\", such as 1"),
        ({"price / 10 < 5": "error"}, "2 rows break"),
        ({jump: "error"}, "such as 0;"),
        ({"(select count(*) from staged) > 3": "error"}, "2 rows break"),
    ):
        configure(key=["id"], checks=check, bad_values="reject")
        fails(run(cli, lake), 1, "product: ", found, "nothing was changed", "`--accept checks`")
    assert rows(database, "select id, price from product order by id") == [(0, 5), (1, 500)]

    configure(key=["id"], bad_values="reject", checks={jump: "warn", "price > 0": "error", "text <> 'dear'": "warn"})
    stage = load(cli, lake.url)["product", "import"]
    assert [line.split(" check")[0] for line in stage["warnings"]] == ["1 row breaks the"] * 2
    assert rows(database, "select id, price from product order by id") == [(0, 50), (1, 600)]


def test_an_append_with_a_gate_is_one_date(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 13: a date whose second file breaks a check brings nothing of its first file; identities are kept."""
    with database.connect(autocommit=True) as conn:
        conn.execute("create table product (no bigint generated always as identity, id bigint, price bigint)")
    configure(mode="append", checks={"price >= 0": "error"})
    lake.put("2026-01-01", "product", [{"no": 7, "id": 1, "price": 1}], "a.parquet")
    lake.put("2026-01-01", "product", [{"no": 8, "id": 2, "price": -1}], "b.parquet")

    line = fails(run(cli, lake), 1, '1 row breaks the check "price >= 0"; nothing was changed')

    assert "such as" not in line  # no key names a row
    assert rows(database, "select * from product") == rows(database, "select * from pgpipe.load_file") == []
    assert counts(load(cli, lake.url, "--accept", "checks")["product", "import"]) == (2, 0, 0, 0)
    assert rows(database, "select no, price from product order by no") == [(7, 1), (8, -1)]
    assert rows(
        database, "select read, inserted from pgpipe.load where finished_at > '-infinity' and error is null"
    ) == [(2, 2)]


def test_a_first_load_obeys_checks(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 13: no table comes of rows that break a check; what only warns is in the report that people read."""
    lake.put("2026-01-01", "product", prices(1, -1))
    configure(key=["id"], checks={"price >= 0": "error"})

    fails(run(cli, lake), 1, '1 row breaks the check "price >= 0", such as 1; nothing was changed')

    assert rows(database, "select to_regclass('product')") == [(None,)]
    configure(key=["id"], checks={"price >= 0": "warn"})
    result = cli("load", "--source", lake.url)
    assert result.code == 0
    assert 'product import: warning: 1 row breaks the check "price >= 0", such as 1\n' in result.out


def test_linked_entities_obey_gates(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 13: if one of a linked group breaks a gate, none of the group is loaded, and the line names which."""
    with database.connect(autocommit=True) as conn:
        conn.execute("create table brand (id bigint primary key, name text)")
        conn.execute("create table product (id bigint primary key references brand, price bigint)")
    file = configure(mode="append", checks={"price >= 0": "error"})
    chosen = json.loads(file.read_text())
    chosen["entity"]["brand"] = {"key": ["id"], "max_changed": 0, "search": False, "embed": False}
    file.write_text(json.dumps(chosen))
    lake.put("2026-01-01", "brand", [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}])
    lake.put("2026-01-01", "product", prices(1, -1))

    result = run(cli, lake)

    assert 'product: 1 row breaks the check "price >= 0"' in result.err
    assert "brand: not loaded, because product failed" in result.err
    assert rows(database, "select * from brand") == []
    assert load(cli, lake.url, "--accept", "checks")["product", "import"]["inserted"] == 2
    lake.put("2026-01-02", "brand", [{"id": 1, "name": "c"}])
    lake.put("2026-01-02", "product", prices(5, 6))
    assert "brand: the load would update 1 of the 1 rows" in run(cli, lake, "--date", "2026-01-02").err


HOSTILE = {
    "select harm()": "would write",
    "harm() > 0": "would write",
    "with gone as (delete from public.product returning id) select * from gone": "cannot be computed",
    "select 1; drop table product": "cannot be computed",
    "select id from staged) found (example)) select 1, array['x']; drop table product; select (1": "cannot be computed",
    "true)) select 1, array['x']; drop table product; --": "cannot be computed",
    "select 1 /*": "cannot be computed",
    "select set_config('transaction_read_only', 'off', true), harm()": "cannot be computed",
    "select pg_sleep(100)": "load.check_timeout",
    "select id from public.product for update": "would write",
    "1 / (id - id) > 0": "division by zero",
    "xyzzy > 0": 'column "xyzzy" does not exist in the rows of product; correct it in `checks`, under [entity.product]',
    "copy product to program 'true'": "cannot be computed",
}


def test_a_check_is_read_only_and_bounded(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 13: a check that writes, lasts, fails or is not SQL is named in one line and does nothing."""
    with database.connect(autocommit=True) as conn:
        conn.execute(ITEMS)
        conn.execute("insert into product values (1, 'old', 1)")
        conn.execute(
            "create function harm() returns int language plpgsql as "
            "$$ begin delete from public.product; perform set_config('search_path', 'nowhere', false); return 1; end $$"
        )
    lake.put("2026-01-01", "product", prices(5))
    configure(key=["id"], checks=dict.fromkeys(HOSTILE, "error"), check_timeout=0.05)

    line = fails(run(cli, lake), 1, "nothing was changed")

    for check, why in HOSTILE.items():
        (said,) = (part for part in line.split("; the check ") if f'"{check}" ' in part)
        assert why in said
    assert rows(database, "select id, text, price from product") == [(1, "old", 1)]
    configure(key=["id"], checks=dict.fromkeys(HOSTILE, "warn"), check_timeout=0.05)
    assert len(load(cli, lake.url)["product", "import"]["warnings"]) == len(HOSTILE)
    assert rows(database, "select id, text, price from product order by id") == [(0, None, 5), (1, "old", 1)]


def test_a_check_meets_no_code_of_others(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 13: where any role may create objects, an operator that fits better than PostgreSQL's is not called."""
    with database.connect(autocommit=True) as conn:
        conn.execute(ITEMS)
        conn.execute("grant create on schema public to public")
        conn.execute("create function harm(numeric, integer) returns boolean language sql as 'select 1 / 0 = 1'")
        conn.execute("create operator > (function = harm, leftarg = numeric, rightarg = integer)")
    lake.put("2026-01-01", "product", prices(5, 7))
    join = "select staged.id from staged join product old using (id) where old.price > 0 and staged.text like '%1'"
    configure(key=["id"], checks={"price > 5": "warn", join: "error"})

    stage = load(cli, lake.url)["product", "import"]

    assert stage["warnings"] == ['1 row breaks the check "price > 5", such as 0']


SCANS = """
    select coalesce(sum(seq_scan + idx_scan), 0) from pg_stat_xact_all_tables
     where relid in ('product'::regclass, 'pgpipe_staging.product'::regclass)
"""


MERGE = """
    select pgpipe_internal.merge('product', 'pgpipe_staging.product', '{id,text}', '{id}', 'snapshot', '[]', %s)
"""


@also_on_16
def test_limits_cost_no_scan(conn: Connection) -> None:
    """Issue 13: `max_deleted` and `max_changed` scan neither the target nor the staging table once more."""
    conn.execute(
        """create table product (id bigint primary key, text text);
           create table pgpipe_staging.product (id bigint, text text);
           insert into product select n, 'old' from generate_series(1, 300) n;
           insert into pgpipe_staging.product select n, 'new' from generate_series(1, 290) n"""
    )
    found = []
    for limits in ("{}", '{"max_deleted": {"share": 0.5}, "max_changed": {"rows": 290}}'):
        with conn.transaction(force_rollback=True):
            before = value(conn, SCANS)
            value(conn, MERGE, limits)
            found.append(value(conn, SCANS) - before)

    assert found[0] == found[1] > 0
