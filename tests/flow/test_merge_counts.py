"""What a merge counts, and what it takes for a difference: every row that was read is accounted for."""

import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake
from tests.fixtures.examples import in_turn, one_in
from tests.flow.support import counts, fails, load, rows, table

MODES = ["append", "upsert", "snapshot"]
DROPS = """
    create function leave_out() returns trigger language plpgsql as $$
    begin
        if coalesce(new.text, '') like 'never%' then return null; end if;
        if tg_op = 'DELETE' then return null; end if;
        return new;
    end $$;
    create trigger leave_out before insert or update or delete on product for each row execute function leave_out()
"""
RULES = """
    create rule no_insert as on insert to product where new.text like 'never%' do instead nothing;
    create rule no_update as on update to product where new.text like 'never%' do instead nothing;
    create rule no_delete as on delete to product do instead nothing
"""
ELSEWHERE = """
    create table elsewhere (id bigint, text text);
    create rule elsewhere as on insert to product do instead insert into elsewhere values (new.id, new.text)
"""
ROUTED = """
    create table part (check (id >= 5)) inherits (product);
    create function route() returns trigger language plpgsql as $$
    begin insert into part values (new.*); return null; end $$;
    create trigger route before insert on product for each row when (new.id >= 5) execute function route()
"""


def product(*found: tuple[int, str]) -> pa.Table:
    """Rows of an id and a text."""
    numbers, texts = zip(*found, strict=True) if found else ((), ())
    return pa.table({"id": pa.array(numbers, pa.int64()), "text": pa.array(texts, pa.string())})


def adds_up(stage: dict, database: Database) -> None:
    """The sentence of docs/loading.md, for the report and for the table of loads."""
    parts = ("inserted", "updated", "unchanged", "rejected", "left_out", "superseded", "deletes")
    assert stage["read"] == sum(stage[part] for part in parts)
    assert min(stage[part] for part in parts) >= 0
    last = f"select read, {', '.join(parts)} from pgpipe.load order by load_id desc limit 1"
    assert rows(database, last) == [(stage["read"], *(stage[part] for part in parts))]


PARTITIONS = """
    create table product (id bigint, text text) partition by list (text);
    create table a partition of product default; create unique index on only product (id, text)
"""
FIRST = ((1, "one"), (2, "two"), (3, "three"), (4, "four"))
SECOND = ((1, "one"), (2, "never two"), (3, "drei"), (5, "five"), (6, "never six"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "statements", ["", DROPS, RULES, ELSEWHERE, ROUTED], ids=["", "trigger", "rule", "to", "routed"]
)
def test_what_read_adds_up_to(
    cli: Cli, lake: Lake, database: Database, configure: Configure, mode: str, statements: str
) -> None:
    """L28: read = inserted + updated + unchanged + rejected + left out, whatever the target does with a row."""
    configure(mode=mode, bad_values="reject", **({} if mode == "append" else {"key": ["id"]}))
    lake.put("2026-01-01", "product", product(*FIRST, (9, "bad \0")))
    adds_up(load(cli, lake.url)["product", "import"], database)
    with database.connect(autocommit=True) as conn:
        conn.execute(statements.encode())
    lake.put("2026-01-02", "product", product(*SECOND, (9, "bad \0")))

    stage = load(cli, lake.url)["product", "import"]

    adds_up(stage, database)
    assert (stage["read"], stage["rejected"]) == (6, 1)
    if mode == "append":  # COPY fires triggers and no rules
        left_out = {DROPS: 2, ROUTED: 2}.get(statements, 0)
        assert (stage["inserted"], stage["left_out"]) == (5 - left_out, left_out)
        return
    deleted = int(mode == "snapshot" and statements not in (DROPS, RULES))
    wanted = {DROPS: (1, 1, 2), RULES: (1, 1, 2), ELSEWHERE: (0, 2, 2)}.get(statements, (2, 2, 0))
    assert (stage["inserted"], stage["updated"], stage["left_out"]) == wanted
    assert (stage["unchanged"], stage["deleted"]) == (1, deleted)
    assert ("2 rows left out by a trigger, rule or policy of the target" in stage["note"]) == bool(wanted[2])
    kept = mode == "snapshot" and not deleted
    assert ("1 rows not deleted, kept by a trigger, rule or policy" in stage["note"]) == kept


def test_a_policy_leaves_rows_out(
    cli: Cli, lake: Lake, database: Database, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L28: rows that a policy shows but does not let the loader update or delete are counted as well."""
    configure(mode="snapshot", key=["id"])
    lake.put("2026-01-01", "product", product(*FIRST))
    load(cli, lake.url)
    lake.put("2026-01-02", "product", product(*SECOND))
    with database.connect(autocommit=True) as conn:
        conn.execute("""
            create role lo login superuser; alter table product owner to lo;
            alter role lo nosuperuser; grant pg_read_all_data, pg_write_all_data to lo;
            alter table product enable row level security; alter table product force row level security;
            create policy all_seen on product for select using (true);
            create policy some_written on product for update using (id <> 3);
            create policy none_deleted on product for delete using (false);
            create policy some_added on product for insert with check (true)
        """)
        for schema in ("public", "pgpipe", "pgpipe_staging"):
            conn.execute(
                f"grant all on schema {schema} to lo; grant all on all tables in schema {schema} to lo".encode()
            )
        conn.execute("grant execute on all functions in schema pgpipe to lo")
    monkeypatch.setenv("DATABASE_URL", database.url.replace("postgres:", "lo:").replace("user=postgres", "user=lo"))

    stage = load(cli, lake.url)["product", "import"]

    assert (counts(stage), stage["left_out"]) == ((2, 1, 0, 1), 1)
    assert "1 rows not deleted, kept by" in stage["note"]


@pytest.mark.parametrize("mode", ["upsert", "snapshot"])
@pytest.mark.parametrize(
    "target",
    [
        "create table product (id bigint, text text)",
        "create table product (id bigint, text text); create unique index on product (id) where id > 100",
        "create table product (id bigint, text text); create unique index on product (id, text)",
        "create table product (id bigint, text text); create unique index on product ((id || text))",
        "create table product (id bigint, text text, unique (id) deferrable initially deferred)",
        "create table product (id bigint unique, text text); create table kid () inherits (product)",
        PARTITIONS,
    ],
    ids=["no index", "partial", "wider", "expression", "deferred", "child", "partitions"],
)
def test_a_target_that_is_not_unique(
    cli: Cli, lake: Lake, database: Database, configure: Configure, mode: str, target: str
) -> None:
    """Issue 10: a key that the target has twice is refused by `plan` and `load`, by name and example."""
    configure(mode=mode, key=["id"])
    with database.connect(autocommit=True) as conn:
        conn.execute(target.encode())
        conn.execute("insert into product values (1, 'a')")
        if "deferrable" in target:
            conn.execute("alter table product drop constraint product_id_key")
        into = "kid" if "kid" in target else "product"
        conn.execute(f"insert into {into} values (1, 'b'), (2, 'c')".encode())
    lake.put("2026-01-01", "product", product((1, "new"), (2, "new")))

    for command in ("plan", "load"):
        result = cli(command, "--source", lake.url, "--json")
        fails(result, 1, "product is not unique by the key (id): 1 of its values occur more than once, such as '1'")
    assert rows(database, "select count(*) from product where text = 'new'") == [(0,)]


def test_a_key_that_the_target_calls_the_same(
    plain_cli: Cli, lake: Lake, plain_database: Database, configure: Configure
) -> None:
    """Issue 10: with a nondeterministic collation `a` and `A` are one key, in the target and in the files."""
    configure(mode="snapshot", key=["id"])
    with plain_database.connect(autocommit=True) as conn:
        conn.execute("create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
        conn.execute("create table product (id text collate ci not null, text text)")
        conn.execute('create unique index on product (id collate "C")')
        conn.execute("insert into product values ('a', 'x'), ('A', 'y')")
    lake.put("2026-01-01", "product", pa.table({"id": ["a", "b"], "text": ["x", "z"]}))

    fails(plain_cli("load", "--source", lake.url, "--json"), 1, "product is not unique by the key (id)")

    with plain_database.connect(autocommit=True) as conn:
        conn.execute("delete from product where text = 'y'; create unique index on product (id)")
    load(plain_cli, lake.url)
    lake.put("2026-01-02", "product", pa.table({"id": ["a", "A", "b"], "text": ["x", "y", "z"]}))
    fails(plain_cli("load", "--source", lake.url, "--json"), 1, "the key (id) is not unique: 1 of its values")
    lake.put("2026-01-02", "product", pa.table({"id": ["A", "b"], "text": ["x", "z"]}))
    assert counts(load(plain_cli, lake.url)["product", "import"]) == (0, 1, 0, 1)
    assert rows(plain_database, 'select id, text from product order by id collate "C"') == [("A", "x"), ("b", "z")]


def test_a_key_that_is_null_in_the_target(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """Issue 10: a snapshot cannot delete rows by a key that is NULL, so it is refused; an upsert leaves them alone."""
    with database.connect(autocommit=True) as conn:
        conn.execute("create table product (id bigint unique, text text)")
        conn.execute("insert into product values (null, 'a'), (null, 'b'), (1, 'c')")
    lake.put("2026-01-01", "product", product((1, "new")))
    configure(mode="snapshot", key=["id"])

    for command in ("plan", "load"):
        fails(
            cli(command, "--source", lake.url, "--json"), 1, "the key (id) is NULL in 2 of the rows of public.product"
        )

    configure(mode="upsert", key=["id"])
    assert counts(load(cli, lake.url)["product", "import"]) == (0, 1, 0, 0)


NAMES = ["n", "pgpipe_change", "pgpipe_held", "key_1", "change", "held", "t", "s", "d"]


@pytest.mark.parametrize(("name", "mode"), in_turn([(name,) for name in NAMES], ["upsert", "snapshot"]))
def test_a_key_may_have_any_name(cli: Cli, lake: Lake, database: Database, mode: str, name: str) -> None:
    """Issue 11: columns called as things within the merge are merged, and a key that occurs twice is said so."""
    options = ("--mode", mode, "--key", name)
    lake.put("2026-01-01", "item", [{name: 1, "text": "a"}, {name: 2, "text": "b"}])
    load(cli, lake.url, *options)
    lake.put("2026-01-02", "item", [{name: 1, "text": "a"}, {name: 2, "text": "c"}, {name: 3, "text": "d"}])
    assert counts(load(cli, lake.url, *options)["item", "import"]) == (1, 1, 0, 1)
    lake.put("2026-01-03", "item", [{name: 1, "text": "a"}, {name: 1, "text": "b"}])

    fails(cli("load", "--source", lake.url, "--json", *options), 1, "is not unique: 1 of its values", "such as '1'")
    assert set(table(database, "item", name)) == {1, 2, 3}


DIFFERENCES = {  # type of the target's column: before, after, whether it is a change
    "citext": ("abc", "ABC", True),
    "text collate ci": ("abc", "ABC", True),
    "citext[]": (["abc"], ["ABC"], True),
    "varchar(5)": ("a", "a ", True),
    "char(3)": ("a", "a ", False),
    "numeric": ("1.0", "1.00", False),
    "double precision": (0.0, -0.0, True),
    "real": (float("nan"), float("nan"), False),
    "json": ('{"a": 1}', '{"a":1}', True),
    "jsonb": ('{"a": 1}', '{"a":1}', False),
    "interval": (2_592_000_000_000, 2_592_000_000_001, True),
}


def value(kind: str, found: object) -> pa.Array:
    """One value in an Arrow column that goes into this type."""
    if kind == "numeric":
        scale = len(str(found).partition(".")[2])
        return pa.array([str(found)], pa.string()).cast(pa.decimal128(10, scale))
    if kind == "interval":
        return pa.array([found], pa.duration("us"))
    return pa.array([found], pa.float32() if kind == "real" else None)


@pytest.mark.parametrize("kind", one_in(3, DIFFERENCES))
def test_rows_are_compared_byte_by_byte(
    plain_cli: Cli, lake: Lake, plain_database: Database, configure: Configure, kind: str
) -> None:
    """L5: what the column would store differently is a change, whatever its type calls equal; a number its value."""
    before, after, changes = DIFFERENCES[kind]
    configure(key=["id"])
    with plain_database.connect(autocommit=True) as conn:
        conn.execute("create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
        if "citext" in kind:
            conn.execute("create schema ext; create extension citext schema ext")
        named = kind.replace("citext", "ext.citext")
        conn.execute(f"create table product (id bigint primary key, value {named})".encode())
    lake.put("2026-01-01", "product", pa.table({"id": [1], "value": value(kind, before)}))
    load(plain_cli, lake.url)
    lake.put("2026-01-02", "product", pa.table({"id": [1], "value": value(kind, after)}))

    assert counts(load(plain_cli, lake.url)["product", "import"]) == (0, int(changes), 0, int(not changes))

    if changes:
        lake.put("2026-01-03", "product", pa.table({"id": [1], "value": value(kind, after)}), "again.parquet")
        assert counts(load(plain_cli, lake.url)["product", "import"]) == (0, 0, 0, 1)


def test_a_key_that_changes_its_case(
    plain_cli: Cli, lake: Lake, plain_database: Database, configure: Configure
) -> None:
    """L5: a key of citext that comes in another case is the same row, and is written as it came."""
    configure(key=["id"], mode="snapshot")
    with plain_database.connect(autocommit=True) as conn:
        conn.execute("create schema ext; create extension citext schema ext")
        conn.execute("create domain ext.code as ext.citext")
        conn.execute("create table product (id ext.code primary key, text text)")
    lake.put("2026-01-01", "product", pa.table({"id": ["abc", "def"], "text": ["x", "y"]}))
    load(plain_cli, lake.url)
    lake.put("2026-01-02", "product", pa.table({"id": ["ABC", "def"], "text": ["x", "y"]}))

    assert counts(load(plain_cli, lake.url)["product", "import"]) == (0, 1, 0, 1)
    assert rows(plain_database, "select id::text from product order by id") == [("ABC",), ("def",)]
