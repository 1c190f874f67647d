"""Unique values that move between the rows of one date: the load passes, or is refused by name; nothing is deleted."""

import json
from pathlib import Path

import pyarrow as pa
from psycopg import sql

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import counts, load, rows

# A delete would take the child along, and be seen by the trigger.
WATCHED = """
    create table {child} (id bigint references {table} on delete cascade);
    create trigger never before delete on {table} for each row execute function never();
    insert into {child} select id from {table}
"""
NEVER = "create function never() returns trigger language plpgsql as $$ begin raise exception 'a delete'; end $$"
SHIFT = [1, 2, 3, 4], [2, 3, 4, 5]
CYCLE = [1, 2, 3, 4], [2, 3, 1, 4]
MAILS = ["a@x.org", "b@x.org", "c@x.org", "d@x.org"], ["b@x.org", "a@x.org", "c@x.org", "d@x.org"]
CODES = ["A", "B", "C", "D"], ["B", "C", "D", "A"]
DAYS = ["2026-01-01", "2026-01-02", "2026-01-04"], ["2026-01-02", "2026-01-01", "2026-01-03"]
UUIDS = [f"0000000{n}-0000-4000-8000-000000000000" for n in (1, 2, 3, 4)]
PASS = {
    "shift": ("v int not null unique)", *SHIFT),
    "cycle": ("v int unique)", *CYCLE),
    "positive": ("v smallint not null unique check (v > 0))", *CYCLE),
    "digits": ("v numeric(10, 0) not null, unique (v))", *SHIFT),
    "two columns": ("v int not null, w int default 1, unique nulls not distinct (w, v))", *CYCLE),
    "deferrable": ("v int unique deferrable)", *CYCLE),
    "deferred": ("v int unique deferrable initially deferred)", *CYCLE),
    "mail": ("v text unique)", *MAILS),
    "mail with a check": ("v text not null unique check (v like '_%@%'))", *MAILS),
    "expression": ('v text not null collate "C"); create unique index on {} (lower(v))', *CODES),
    "never null": ("v text); create unique index on {} (coalesce(v, ''))", *MAILS),
    "one character": ("v varchar(1) not null unique)", *CODES),
    "partial": ("v int, hidden bool default false); create unique index on {} (v) where (not hidden)", *CYCLE),
    "a uuid": ("v uuid not null unique)", UUIDS, UUIDS[::-1]),
    "day": ("v date not null unique)", *DAYS),
    "exclusion": ("v int not null, exclude using gist (int4range(v, v, '[]') with &&))", *CYCLE),
    "generated": ("v int not null unique, w int generated always as (v + 1) stored unique)", *SHIFT),
    "tree": ("v bigint references {} unique)", [2, 3, 4, 1], [3, 4, 1, 2]),
    "parts": ("v int) partition by list (id); create table part partition of {} (unique (v)) default", *CYCLE),
}  # fmt: skip
ARROW = {"smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64(), "numeric(10,0)": pa.decimal128(10, 0)}
VALUES = sql.SQL("select v::text from {} order by id")


def make(database: Database, name: str, ddl: str, values: list) -> str:
    """A table of ids and values, and one whose rows hang on it; returns the type of the values."""
    table, key = sql.Identifier(name), "id bigint" if "partition" in ddl else "id bigint primary key"
    with database.connect(autocommit=True) as conn:
        conn.execute(f"create table {{}} ({key}, {ddl}".replace("{}", table.as_string()).encode())
        found = [sql.SQL("({}, {})").format(number, str(value)) for number, value in enumerate(values, 1)]
        conn.execute(sql.SQL("insert into {} (id, v) values {}").format(table, sql.SQL(", ").join(found)))
        if "partition" not in ddl:
            conn.execute(sql.SQL(WATCHED).format(table=table, child=sql.Identifier(f"child of {name}")))
        kind = conn.execute(
            "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = %s::regclass and attname = 'v'",
            (table.as_string(),),
        ).fetchone()
        return str(kind[0]) if kind else ""


def prepare(database: Database, lake: Lake, folder: Path, cases: dict, mode: str) -> None:
    """The tables with their first values, the files with the second, and the settings."""
    settings = {}
    with database.connect(autocommit=True) as conn:
        conn.execute(NEVER)
    for name, (ddl, before, after, *_) in cases.items():
        kind = make(database, name, ddl, before)
        types = {"v": kind} if isinstance(after[0], str) else {}
        settings[name] = {"mode": mode, "key": ["id"], "types": types}
        found = pa.array(after)
        if pa.types.is_integer(found.type):
            found = found.cast(pa.int32()).cast(ARROW[kind])
        lake.put("2026-01-02", name, pa.table({"id": range(1, len(after) + 1), "v": found}))
    (folder / "pgpipe.json").write_text(json.dumps({"entity": settings}))


def test_values_change_their_rows(cli: Cli, lake: Lake, database: Database, tmp_path: Path) -> None:
    """L30: shifted, swapped or in a cycle, the values arrive, by updates alone."""
    prepare(database, lake, tmp_path, PASS, "snapshot")

    found = load(cli, lake.url, "--skip-search")

    for name, (_, before, after) in PASS.items():
        with database.connect() as conn:
            assert [v for (v,) in conn.execute(VALUES.format(sql.Identifier(name)))] == [str(v) for v in after], name
        changed = sum(a != b for a, b in zip(before, after, strict=True))
        assert counts(found[name, "import"]) == (0, changed, 0, len(after) - changed), name
        if name != "parts":
            assert rows(database, f'select count(*) from "child of {name}"') == [(len(after),)]


DOUBLE = ": Key (v)=({}) already exists. Two rows would have this value"
NO_WAY = "pgpipe: values that {}_v_key keeps unique in public.{} move between rows, and no other value can"
FAIL = {
    "two": ("v text unique)", ["a", "b"], ["c", "c"], "two_v_key", DOUBLE.format("c")),
    "kept": ("v int unique)", [1, 2, 3], [2, 3], "kept_v_key", DOUBLE.format("3")),
    "new": ("v int unique)", [1, 2], [1, 2, 2], "new_v_key", DOUBLE.format("2")),
    "yes": ("v bool not null unique)", [True, False], [False, True], NO_WAY, "drop constraint yes_v_key, add"),
    "home": ("v text not null unique)", *CODES, NO_WAY, "meanwhile: Key (v)=("),
}


def test_values_that_cannot_move(cli: Cli, lake: Lake, database: Database, tmp_path: Path) -> None:
    """L30: a date that is not unique itself, or has no value to move by, is refused with the rule and a value."""
    prepare(database, lake, tmp_path, FAIL, "upsert")
    with database.connect(autocommit=True) as conn:
        conn.execute("create table away (v text references home (v)); insert into away values ('A')")

    result = cli("load", "--source", lake.url, "--json", "--skip-search", "--skip-embeddings")

    lines = sorted(line for line in result.err.splitlines() if "is retried" not in line)  # it might have been a rival
    assert (result.code, len(lines)) == (1, len(FAIL))
    for line, (name, (_, before, _, *parts)) in zip(lines, sorted(FAIL.items()), strict=True):
        for part in parts:
            assert part.format(name, name).removeprefix("pgpipe: ") in line
        assert [v for (v,) in rows(database, f"select v from {name} order by id")] == before


def test_thousands_of_values_shift(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """L30: also with a row that is new, one that is gone, and one that has its value already."""
    configure(key=["id"], mode="snapshot")
    first = {"id": range(5000), "position": range(5000)}
    lake.put("2026-01-01", "product", pa.table(first))
    load(cli, lake.url)
    with database.connect(autocommit=True) as conn:
        conn.execute("alter table product alter position set not null, add unique (position)")
    there = [0, *range(2, 5001)]  # 1 is gone, 5000 is new; the others follow up
    lake.put("2026-01-02", "product", pa.table({"id": there, "position": range(5000)}))

    stage = load(cli, lake.url)["product", "import"]

    assert counts(stage) == (1, 4998, 1, 1)
    assert rows(database, "select array_agg(id order by position) from product") == [(there,)]


def test_the_plain_way_is_taken_first(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """L30: where nothing collides each row is written once, and only once."""
    configure(key=["id"])
    lake.put("2026-01-01", "product", pa.table({"id": [1, 2], "mail": ["a", "b"]}))
    load(cli, lake.url)
    with database.connect(autocommit=True) as conn:
        conn.execute("alter table product add unique (mail); create table seen (mail text);")
        conn.execute("create function note() returns trigger language plpgsql as"
                     " $$ begin insert into public.seen values (new.mail); return null; end $$;"
                     " create trigger note after update on product for each row execute function note()")  # fmt: skip
    lake.put("2026-01-02", "product", pa.table({"id": [1, 2], "mail": ["c", "d"]}))
    load(cli, lake.url)
    lake.put("2026-01-03", "product", pa.table({"id": [1, 2], "mail": ["d", "c"]}))
    load(cli, lake.url)

    assert rows(database, "select array_agg(mail) from seen") == [(["c", "d", None, None, "d", "c"],)]
