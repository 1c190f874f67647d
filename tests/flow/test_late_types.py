"""Types that only some of the files tell, or the user, or the target: whatever tells decides, also on a later day."""

import json
from typing import Any

import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import fails, load, rows
from tests.flow.test_evolution import kinds

TEXTS = pa.list_(pa.string())
NESTED = pa.struct({"a": pa.list_(pa.string())})
HOLLOW: dict[str, tuple[list[Any], list[Any], pa.DataType, str]] = {  # without a type, with it, its type, the column's
    "lists": ([[], [None]], [["a"], None], TEXTS, "text[]"),
    "numbers": ([None, None], [1, None], pa.int64(), "bigint"),
    "instants": ([[], None], [[0], [None]], pa.list_(pa.timestamp("us", "UTC")), "timestamp with time zone[]"),
    "structs": ([{"a": []}, None], [{"a": ["x"]}, None], NESTED, "jsonb"),
    "pairs": ([[], [None]], [[{"a": ["x"]}], None], pa.list_(NESTED), "jsonb"),
}


@pytest.mark.parametrize(
    ("mode", "days"),
    [
        ("snapshot", "one day"),
        ("append", "typed first"),
        ("snapshot", "typed later"),
        pytest.param("append", "typed later", marks=pytest.mark.long),
        pytest.param("snapshot", "typed first", marks=pytest.mark.long),
    ],
)
def test_null_types_take_the_type_of_the_others(
    cli: Cli, lake: Lake, database: Database, configure: Configure, mode: str, days: str
) -> None:
    """L8, L9: files with NULLs or empty lists alone agree with any type, on one day, and before or after it."""
    configure(key=["id"], mode=mode, max_deleted=1.0)
    hollow = {name: pa.array(values) for name, (values, *_) in HOLLOW.items()}
    typed = {name: pa.array(values, kind) for name, (_, values, kind, _) in HOLLOW.items()}
    later = "2026-01-01" if days == "one day" else "2026-01-02"
    first, second = (typed, hollow) if days == "typed first" else (hollow, typed)
    lake.put("2026-01-01", "product", pa.table({"id": [1, 2]} | first), "a.parquet")
    if later != "2026-01-01":
        load(cli, lake.url)
        if mode == "append":
            with database.connect(autocommit=True) as conn:
                conn.execute("alter table product drop constraint product_pkey")
    lake.put(later, "product", pa.table({"id": [3, 4]} | second), "b.parquet")
    plan = json.loads(cli("plan", "--source", lake.url, "--json").out)[0]

    load(cli, lake.url)

    assert "refused" not in plan
    expected = {name: sql for name, (*_, sql) in HOLLOW.items()} | {"id": "bigint"}
    if days == "typed later":
        expected |= {"lists": "jsonb", "instants": "jsonb"}  # they hold empty lists
    assert kinds(database, "product") == expected
    where = "where id > 2" if second is typed else "where id < 3"
    found = rows(database, f"select numbers, structs::text, pairs::text from product {where} order by id")
    if mode == "append" or days == "one day" or second is typed:
        assert found == [(1, '{"a": ["x"]}', '[{"a": ["x"]}]'), (None, None, None)]


def test_a_column_without_values_takes_no_type_that_would_cost_it_something(
    cli: Cli, lake: Lake, database: Database, configure: Configure
) -> None:
    """L9: neither if it has got a text, nor if a view reads it, nor if the user made it, nor if it is frozen."""
    configure(key=["id"])
    nothing = pa.nulls(1)
    lake.put("2026-01-01", "product", pa.table({"id": [1], "seen": nothing, "said": nothing, "free": nothing}))
    load(cli, lake.url)
    with database.connect(autocommit=True) as conn:
        conn.execute("update product set said = 'x'")
        conn.execute("create view reader as select seen from product")
        conn.execute("alter table product add column own text")
    lake.put("2026-01-02", "product", pa.table({"id": [2], "seen": [1], "said": [1], "free": [1], "own": [1]}))

    load(cli, lake.url)

    expected = {"id": "bigint", "seen": "text", "said": "text", "free": "bigint", "own": "text"}
    assert kinds(database, "product") == expected
    assert rows(database, "select seen, said, free, own from product where id = 2") == [("1", "1", 1, "1")]
    ((comment,),) = rows(database, "select count(*) from pg_description where objoid = 'product'::regclass")
    assert comment == 2  # of `seen` and `said`
    with database.connect(autocommit=True) as conn:
        conn.execute("drop view reader")
        conn.execute("update product set seen = null")
    configure(key=["id"], contract="freeze")
    lake.put("2026-01-03", "product", pa.table({"id": [3], "seen": [2], "said": ["x"], "free": [2], "own": ["x"]}))
    load(cli, lake.url)
    assert kinds(database, "product") == expected


def test_what_is_declared_decides_before_files_are_joined(
    cli: Cli, lake: Lake, database: Database, configure: Configure
) -> None:
    """L10: whole numbers in one file, floats or texts in another; without a declaration the message says how to."""
    lake.put("2026-01-01", "product", pa.table({"id": [1], "n": [1], "t": [5]}), "a.parquet")
    lake.put("2026-01-01", "product", pa.table({"id": [2], "n": [None, 1.5][1:], "t": ["x"]}), "b.parquet")
    configure(key=["id"])
    fails(
        cli("load", "--source", lake.url, "--json"),
        1,
        "column 'n' is double precision in",
        "b.parquet but bigint in",
        "declare it: entity.product.types.n",
    )
    configure(key=["id"], types={"n": "numeric(10,2)", "t": "text"})

    load(cli, lake.url)

    assert rows(database, "select n::text, t from product order by id") == [("1.00", "5"), ("1.50", "x")]


def test_the_target_decides_before_files_are_joined(cli: Cli, lake: Lake, database: Database) -> None:
    """L10: files that have no common type load, if the target's column takes each of them."""
    with database.connect(autocommit=True) as conn:
        conn.execute("create table thing (id bigint primary key, n double precision, t text, d timestamp, w integer)")
        conn.execute("alter table thing add column wide numeric(50,3)")  # of more digits than COPY's encoder knows
    small = {"n": pa.array([1], pa.int32()), "d": pa.array([0], pa.date32()), "w": pa.array([1], pa.int16())}
    small["wide"] = pa.array([1], pa.int64()).cast(pa.decimal256(50, 3))
    lake.put("2026-01-01", "thing", pa.table({"id": [1], "t": [5]} | small), "a.parquet")
    moment = pa.array([1], pa.timestamp("us"))
    lake.put("2026-01-01", "thing", pa.table({"id": [2], "n": [0.5], "t": ["x"], "d": moment, "w": [7]}), "b.parquet")

    load(cli, lake.url, "--entity", "thing", "--skip-search")

    assert rows(database, "select n, t, d::text, w, wide from thing order by id") == [
        (1, "5", "1970-01-01 00:00:00", 1, 1),
        (0.5, "x", "1970-01-01 00:00:00.000001", 7, None),
    ]
    assert kinds(database, "thing")["w"] == "bigint"


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_an_identity_that_is_always_generated(
    cli: Cli, lake: Lake, database: Database, configure: Configure, mode: str
) -> None:
    """L12: files bring the key's numbers; if rows that are there would have to get others, a line says what to do."""
    with database.connect(autocommit=True) as conn:
        conn.execute("create table product (id bigint generated always as identity primary key, name text)")
    configure(key=["id"], mode=mode)
    lake.put("2026-01-01", "product", pa.table({"id": [7, 8], "name": ["a", "b"]}))
    assert load(cli, lake.url)["product", "import"]["inserted"] == 2
    if mode == "append":
        return
    lake.put("2026-01-02", "product", pa.table({"id": [8, 7], "name": ["b", "c"]}))
    assert load(cli, lake.url)["product", "import"]["updated"] == 1
    assert rows(database, "select id, name from product order by id") == [(7, "c"), (8, "b")]

    configure(key=["name"], mode=mode)
    lake.put("2026-01-03", "product", pa.table({"id": [9, 7], "name": ["b", "c"]}))
    for command in ("plan", "load"):
        fails(cli(command, "--source", lake.url, "--json"), 1, "'id' is GENERATED ALWAYS AS IDENTITY", "by default`")


def test_names_that_differ_by_case_only(cli: Cli, lake: Lake, configure: Configure) -> None:
    """L27: the plan points at them, and the load makes two columns."""
    configure(key=["id"])
    lake.put("2026-01-01", "product", pa.table({"id": [1], "name": ["a"]}))
    load(cli, lake.url)
    lake.put("2026-01-02", "product", pa.table({"id": [1], "NAME": ["b"]}))

    plan = json.loads(cli("plan", "--source", lake.url, "--json").out)[0]

    assert "'NAME' and 'name' differ by case only and are two columns" in plan["notes"][0]
    assert plan["new_columns"] == {"NAME": "text"}


BLOCKERS = {
    "the view public.reader": "create view reader as select n from {0}",
    "the materialized view public.kept": "create materialized view kept as select n from {0}",
    "the rule r of public.t2": "create rule r as on delete to {0} where old.n = 1 do nothing",
    "the generated column twice": "alter table {0} add twice integer generated always as (n * 2) stored",
    "the policy mine": "create policy mine on {0} using (n > 0)",
    "the trigger t": "create function f() returns trigger language plpgsql as 'begin return new; end';"
    "create trigger t before update of n on {0} for each row execute function f()",
    "the function public.g()": "create function g() returns bigint begin atomic select sum(n) from {0}; end",
    "the publication p": "alter table {0} replica identity full; create publication p for table {0} where (n > 0)",
    "the column whole of public.other": "create table other (whole {0})",
    "the partition key of public.t9": "create table part partition of {0} for values from (0) to (10)",
}


def test_what_depends_on_a_column_is_named(cli: Cli, lake: Lake, database: Database) -> None:
    """L22, L33: plan and load name it and the ways out, and with the column's type declared the values are checked."""
    with database.connect(autocommit=True) as conn:
        for number, statement in enumerate(BLOCKERS.values()):
            divided = " partition by range (n)" if "partition of" in statement else ""
            conn.execute(f"create table t{number} (id bigint, n integer, primary key (id, n)){divided}".encode())
            conn.execute(statement.format(f"t{number}").encode())
            with pytest.raises(Exception, match=r"(?i)cannot"):
                conn.execute(f"alter table t{number} alter n type bigint".encode())
            lake.put("2026-01-01", f"t{number}", pa.table({"id": [1], "n": [5]}))
    names = [f"t{number}" for number in range(len(BLOCKERS))]
    plain = {"key": ["id", "n"], "search": False, "embed": False}
    settings = lake.path.parent / "pgpipe.json"
    settings.write_text(json.dumps({"entity": dict.fromkeys(names, plain)}))

    for command, some in ({"plan": names, "load": names[:1]}).items():
        asked = [part for name in some for part in ("--entity", name)]
        lines = cli(command, "--source", lake.url, *asked, "--json").err.splitlines()
        for name, blocker in zip(some, BLOCKERS, strict=False):
            (line,) = (line for line in lines if f" {name}: " in line)
            assert "'n' is bigint in the files but integer in the target, and cannot be widened: " in line
            assert f'{blocker} depends on it; entity.{name}.types.n = "integer" keeps it and checks each' in line
    settings.write_text(json.dumps({"entity": dict.fromkeys(names, plain | {"types": {"n": "integer"}})}))
    load(cli, lake.url, "--entity", "t0")

    assert rows(database, "select n from t0") == [(5,)]


def test_a_partition_gets_no_other_columns(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """L33: plan and load say so alike."""
    with database.connect(autocommit=True) as conn:
        conn.execute("create table whole (id bigint primary key) partition by range (id)")
        conn.execute("create table product partition of whole for values from (0) to (10)")
    configure(key=["id"])
    lake.put("2026-01-01", "product", pa.table({"id": [1], "extra": [1]}))

    for command in ("plan", "load"):
        fails(
            cli(command, "--source", lake.url, "--json"),
            1,
            "'extra' is not in the target, which can get no column: it is a partition of public.whole",
        )
