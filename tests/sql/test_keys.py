"""Keys and names of every kind make one job, are found again, and mean the same in every session."""

import json

import pytest

from pgpipe.db import Connection, Database
from tests.conftest import also_on_16
from tests.sql.fake_model import Fake, make_worker
from tests.sql.support import (
    claim,
    column,
    drain,
    embed,
    embed_quietly,
    finish,
    jobs,
    make_docs,
    sqlstate,
    stored,
    value,
)

TYPES = {
    "int": "7",
    "bigint": "9223372036854775807",
    "smallint": "-1",
    "text": "'it''s \"quoted\" \\ back, naïve 🙂'",
    "text ": "''",
    "varchar(20)": "'abc'",
    "char(5)": "'ab'",
    "uuid": "'c56a4180-65aa-42ec-a945-5fd21dec0538'",
    "timestamptz": "'2026-03-29 02:30:00.123456+05:30'",
    "timestamp": "'2026-03-29 02:30:00.123456'",
    "date": "'2026-03-29'",
    "time": "'02:30:00.5'",
    "interval": "'1 year 2 mons -3 days 04:05:06.789'",
    "numeric": "123456789012345678901234567890.1234567890",
    "numeric(12,2)": "1.10",
    "double precision": "0.1",
    "double precision ": "'NaN'",
    "real": "0.3",
    "bytea": "'\\x00ff5c27'",
    "boolean": "true",
    "inet": "'10.0.0.1/24'",
    "date ": "'infinity'",
    "int[]": "'{1,2}'",
    "int[] ": "'[0:1]={1,2}'",
    "int[][]": "'[1:1][-1:0]={{5,6}}'",
    "text[]": """'{"NULL",NULL,"a\\"b,{}"}'""",
    "jsonb": """'"s"'""",
    "jsonb ": "'null'",
    "jsonb[]": """array['"x"'::jsonb, 'null', null]""",
    "pair": "row(1, 'y,\"(')",  # composite
    "pair[]": "array[row(null, 'x')::pair]",
    "few": "'[0:0]={1}'",  # a domain over an array
    "float_range": "'[1,2.5)'",
    "vector": "'[1,2,3]'",  # of an extension, without a cast to json
    "vector[]": """'{"[1,2,3]"}'""",
}
OWN_TYPES = """
    create type pair as (a int, b text);
    create domain few as int[] check (cardinality(value) < 4);
    create type float_range as range (subtype = float8)
"""
SETTINGS = (
    "set timezone = 'Asia/Kathmandu'",
    "set datestyle = 'SQL, DMY'",
    "set intervalstyle = 'iso_8601'",
    "set bytea_output = 'escape'",
    "set extra_float_digits = -4",
)


def test_one_job_whatever_the_session(conn: Connection, other: Connection) -> None:
    """V8: sessions with other settings name the row alike: their changes meet in one job, and so does a delete."""
    conn.execute(OWN_TYPES)
    for setting in SETTINGS:
        other.execute(setting)
    for n, (type_, literal) in enumerate(TYPES.items()):
        table = f"doc{n}"
        conn.execute(f"create table {table} (id {type_} primary key, title text)".encode())
        conn.execute(f"insert into {table} values ({literal}, 'a')".encode())
        embedding = embed(conn, table, ["title"])

        other.execute(f"update {table} set title = 'b'".encode())
        conn.execute(f"update {table} set title = 'c'".encode())

        assert list(jobs(conn, embedding).values()) == [3], type_
        assert drain(other, embedding) == 1, type_
        assert value(conn, f"select count(*) from {table} join {table}_embedding using (id)") == 1, type_
        other.execute(f"update {table} set title = 'd'".encode())
        conn.execute(f"delete from {table}".encode())
        assert list(jobs(conn, embedding).values()) == [2], type_
        assert drain(other, embedding) == 1, type_
        assert stored(conn, f"{table}_embedding") == [], type_


def test_a_key_that_cannot_be_read(conn: Connection) -> None:
    """V8: an array of a domain is refused when it is declared, in words."""
    conn.execute("create domain small as int check (value < 10); create table odd (id small[] primary key, title text)")

    assert sqlstate(conn, "select pgpipe.enable_embedding('odd', '{title}', 'fake', 3)") == "PP003"


def test_child_tables(any_database: Database, conn: Connection) -> None:
    """V8: a child table by inheritance may hold a key twice, and a row of the same key as the table; all are served."""
    conn.execute("create table base (id int primary key, title text); create table child () inherits (base)")
    conn.execute("insert into base values (1, 'a'), (2, 'b')")
    conn.execute("insert into child values (1, 'other'), (3, 'c'), (3, 'd')")
    embed(conn, "base", ["title"])

    make_worker(any_database, Fake()).drain()

    assert stored(conn, "base_embedding") == [1, 2, 3]
    assert value(conn, "select count(*) from pgpipe.job") == 0


WRITES = {  # on a table and its child, which have the same 200 keys; the jobs of each, None for a note
    "update doc set title = 'x' where id = 1": {1},
    "update doc set title = 'x' where id < 20": set(range(1, 20)),
    "update doc set title = 'x'": None,
    "delete from doc where id = 1": None,
    "delete from doc where id < 150": None,
    "insert into doc select n, 'new' from generate_series(301, 500) n": set(range(301, 501)),
}


@pytest.mark.parametrize("write", WRITES)
def test_writes_of_rows_that_share_a_key(database: Database, write: str) -> None:
    """V3, V8: a statement on a table and its child table succeeds; its rows are enqueued, or a note has them swept."""
    with database.connect(autocommit=True) as conn:
        make_docs(conn, 200)
        conn.execute("create table kid (primary key (id)) inherits (doc); insert into kid select * from only doc")
        embedding = embed_quietly(conn)

        conn.execute(write.encode())

        found = {json.loads(key)["id"] for key in jobs(conn, embedding)}
        noted = column(conn, "select sqlstate from pgpipe.missed")
        wanted = WRITES[write]
        assert (found, noted) == ((set(), ["42704"]) if wanted is None else (wanted, []))


@also_on_16
def test_composite_key(conn: Connection) -> None:
    """All columns of a key count; a change of one of them is a change of the key."""
    conn.execute("create table doc (shop text, at timestamptz, no int, title text, primary key (no, shop, at))")
    conn.execute(
        "insert into doc select 's' || n % 2, '2026-01-01'::timestamptz, n, 't' || n from generate_series(1, 4) n"
    )
    embedding = embed(conn, columns=["title"])
    assert drain(conn, embedding) == 4

    conn.execute("update doc set title = 'x' where no = 1")
    conn.execute("update doc set shop = 'moved' where no = 2")

    assert sorted(jobs(conn, embedding)) == [
        '{"at": "2026-01-01T00:00:00+00:00", "no": 1, "shop": "s1"}',
        '{"at": "2026-01-01T00:00:00+00:00", "no": 2, "shop": "moved"}',
        '{"at": "2026-01-01T00:00:00+00:00", "no": 2, "shop": "s0"}',
    ]
    held = claim(conn, embedding)
    assert {(j[3], j[6]) for j in held.jobs} == {(None, False), ("t2", True), ("x", False)}
    assert finish(conn, held) == (3, 0)
    assert value(conn, "select count(*) from doc_embedding") == 4
    assert value(conn, "select count(*) from doc_embedding join doc using (no, shop, at)") == 4


@also_on_16
def test_weird_names(conn: Connection) -> None:
    """Any name PostgreSQL takes may be a table, a key column and an input column: through trigger, claim and finish."""
    for name in ("Order", "a.b", 'naïve "quote"', "select", "per%cent %s", "back\\slash", "it's"):
        quoted = '"' + name.replace('"', '""') + '"'
        body = '"' + name.replace('"', '""') + ' 2"'
        conn.execute(f"create table {quoted} ({quoted} text primary key, {body} text)".encode())
        conn.execute(f"insert into {quoted} values ('k''1', 'one')".encode())

        embedding = embed(conn, quoted, [name + " 2"])

        assert drain(conn, embedding) == 1
        conn.execute(f"update {quoted} set {body} = 'two'".encode())
        held = claim(conn, embedding)
        assert [(json.loads(j[0]), j[3]) for j in held.jobs] == [({name: "k'1"}, "two")]
        assert finish(conn, held) == (1, 0)
        conn.execute(f"update {quoted} set {quoted} = 'k2'".encode())
        held = claim(conn, embedding)
        assert {(j[3], j[6]) for j in held.jobs} == {(None, False), ("two", True)}
        assert finish(conn, held) == (2, 0)
        conn.execute(f"delete from {quoted}".encode())
        assert drain(conn, embedding) == 1


def test_names_of_63_bytes(conn: Connection) -> None:
    """Tables whose names agree in all but the last byte get stores of their own."""
    stores = set()
    for last in "ab":
        table = "é" * 31 + last
        conn.execute(f'create table "{table}" (id int primary key, title text)')
        embed_quietly(conn, f'"{table}"', ["title"])
        embed_quietly(conn, f'"{table}"', ["title"], name="a" * 40)
    stores = value(conn, "select count(distinct store) from pgpipe.embedding")
    assert stores == 4


INPUTS = {  # a value, and one that another text stands for
    "json": ("{}", "[]"),
    "jsonb": ("{}", "[]"),
    "point": ("(0,0)", "(1,1)"),
    "text[]": ("{a}", "{b}"),
    "timestamptz": ("2026-01-01 00:00+00", "2026-01-02 00:00+00"),
    "date": ("2026-01-02", "2026-02-01"),
    "bytea": ("\\x00", "\\xff"),
    "numeric": ("1.0", "1.00"),
    "real": ("0.1", "0.2"),
    "interval": ("1 day", "24 hours"),
    "boolean": ("true", "false"),
    "double precision": ("0", "-0"),
}


def test_input_columns_of_any_type(conn: Connection, other: Connection) -> None:
    """Types without an equality, or whose text depends on the session, are embedded once and compared as text."""
    for setting in SETTINGS:
        other.execute(setting)
    for n, (type_, (old, new)) in enumerate(INPUTS.items()):
        table = f"doc{n}"
        conn.execute(f"create table {table} (id int primary key, what {type_})".encode())
        insert, change = (f"insert into {table} values (1, '{old}'), (2, null)", f"update {table} set what = ")
        conn.execute(insert.encode())
        embedding = embed(conn, table, ["what"])
        assert drain(other, embedding) == 2, type_
        assert stored(conn, f"{table}_embedding") == [1]

        conn.execute(f"{change}'{old}' where id = 1".encode())
        assert jobs(conn, embedding) == {}, type_
        conn.execute(f"{change}'{new}' where id = 1".encode())
        assert len(jobs(conn, embedding)) == 1, type_
        assert drain(conn, embedding) == 1, type_

        other.execute(f"update {table} set id = 3 where id = 1".encode())
        assert sorted(j[6] for j in claim(other, embedding).jobs) == [False, True], type_
