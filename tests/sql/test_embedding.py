"""Declaring and dropping an embedding: the store, the refusals, and what becomes of a target that goes."""

import psycopg
import pytest

from pgpipe.db import Connection, Database
from tests.conftest import also_on_16
from tests.sql.support import claim, column, drain, embed, embedded_docs, fail, jobs, make_docs, sqlstate, stored, value

ENABLE = "select pgpipe.enable_embedding(%s, %s, 'fake', 3, template => %s, name => %s)"


def test_refusals(conn: Connection) -> None:
    """Each mistake has its SQLSTATE, and leaves nothing behind."""
    make_docs(conn)
    conn.execute("create table keyless (title text)")

    assert sqlstate(conn, ENABLE, "doc", ["nope"], None, "default") == "PP002"
    assert sqlstate(conn, ENABLE, "doc", ["title"], "{body}", "default") == "PP003"
    assert sqlstate(conn, ENABLE, "doc", ["title"], "no column", "default") == "PP003"
    assert sqlstate(conn, ENABLE, "doc", ["title"], "", "default") == "PP003"
    for name in ("", "Big", "a b", "1st", "a" * 41, 'x"; drop table doc; --'):
        assert sqlstate(conn, ENABLE, "doc", ["title"], None, name) == "PP003", name
    assert sqlstate(conn, ENABLE, "keyless", ["title"], None, "default") == "PP007"
    assert value(conn, "select count(*) from pgpipe.embedding") == 0
    assert column(conn, "select tgname from pg_trigger where tgrelid = 'doc'::regclass") == []


def test_another_declaration_is_refused(conn: Connection) -> None:
    """Other columns, template, model or dimensions under the same name: PP004; after dropping it, declared."""
    make_docs(conn, 2)
    embed(conn)

    assert sqlstate(conn, ENABLE, "doc", ["title"], None, "default") == "PP004"
    assert sqlstate(conn, ENABLE, "doc", ["title", "body"], "{title}", "default") == "PP004"
    other = "select pgpipe.enable_embedding('doc', '{title,body}', %s, %s)"
    assert sqlstate(conn, other, "other", 3) == "PP004"
    assert sqlstate(conn, other, "fake", 4) == "PP004"
    conn.execute("select pgpipe.disable_embedding('doc')")
    assert sqlstate(conn, other, "other", 4) == ""


@also_on_16
def test_disable(conn: Connection) -> None:
    """Store, jobs and, with the last embedding, triggers go; the target is a plain table again; twice is a no-op."""
    embedding = embedded_docs(conn)
    conn.execute("update doc set title = 'x'")

    conn.execute("select pgpipe.disable_embedding('doc')")
    conn.execute("select pgpipe.disable_embedding('doc')")

    assert value(conn, "select to_regclass('doc_embedding')") is None
    assert jobs(conn, embedding) == {}
    assert value(conn, "select count(*) from pg_trigger where tgrelid = 'doc'::regclass") == 0
    conn.execute("insert into doc values (9, 'a', 'b', 0)")
    conn.execute("truncate doc")


def test_the_first_is_searched(conn: Connection) -> None:
    """Of several embeddings the first is the active one."""
    make_docs(conn)
    embed(conn)
    embed(conn, name="second")

    assert conn.execute("select name, active from pgpipe.embedding order by 1").fetchall() == [
        ("default", True),
        ("second", False),
    ]


def test_a_target_dropped_and_made_again(conn: Connection) -> None:
    """DROP TABLE … CASCADE leaves the store of a target that is gone: the next declaration replaces it."""
    embedded_docs(conn)
    conn.execute("drop table doc cascade")
    make_docs(conn, 2)

    embedding = embed(conn)

    assert drain(conn, embedding) == 2
    assert stored(conn) == [1, 2]
    assert value(conn, "select count(*) from pgpipe.embedding") == 1
    assert value(conn, "select array_agg(entity)::text from pgpipe.embedding_status") == "{doc}"


def test_a_target_in_another_schema(conn: Connection) -> None:
    """Store and triggers are made where the target lies; a table of the same name elsewhere is another target."""
    make_docs(conn, 1)
    conn.execute('create schema "My Shop"')
    conn.execute('create table "My Shop".doc (id int primary key, title text)')
    conn.execute("""insert into "My Shop".doc values (7, 'seven')""")
    here, there = embed(conn), embed(conn, '"My Shop".doc', ["title"])

    assert (drain(conn, here), drain(conn, there)) == (1, 1)
    assert stored(conn) == [1]
    assert value(conn, 'select id from "My Shop".doc_embedding') == 7
    assert value(conn, """select key from pgpipe.vector_search('"My Shop".doc', '[1,0,0]')""") == {"id": 7}


@also_on_16
def test_a_partitioned_target(conn: Connection) -> None:
    """Rows written through the parent are enqueued, whichever partition they are in or move to."""
    conn.execute("create table doc (id int, title text, primary key (id)) partition by range (id)")
    conn.execute("create table doc_low partition of doc for values from (0) to (100)")
    conn.execute("create table doc_high partition of doc for values from (100) to (200)")
    embedding = embed(conn, columns=["title"])
    conn.execute("insert into doc values (1, 'a'), (101, 'b')")
    assert drain(conn, embedding) == 2

    conn.execute("update doc set title = 'c' where id = 101")
    conn.execute("update doc set id = 102 where id = 1")

    assert sorted(jobs(conn, embedding)) == ['{"id": 101}', '{"id": 102}', '{"id": 1}']
    drain(conn, embedding)
    assert stored(conn) == [101, 102]


def test_a_key_with_included_columns(conn: Connection) -> None:
    """Columns that a primary key only includes are no part of it."""
    conn.execute("create table doc (a int, b int, title text, primary key (b) include (a))")
    conn.execute("insert into doc values (1, 2, 't')")

    embedding = embed(conn, columns=["title"])

    assert list(jobs(conn, embedding)) == ['{"b": 2}']


def test_the_status_view(conn: Connection) -> None:
    """Waiting, leased and dead jobs of each embedding, and how long the oldest waits."""
    make_docs(conn, 6)
    embedding = embed(conn)
    conn.execute("update pgpipe.embedding set max_attempts = 1")
    fail(conn, claim(conn, embedding, 1), charge=True)
    claim(conn, embedding, 2)

    status = "select entity, name, model, dims, active, waiting, leased, dead, oldest_age >= '0'"
    assert conn.execute(f"{status} from pgpipe.embedding_status".encode()).fetchall() == [
        ("doc", "default", "fake", 3, True, 3, 2, 1, True)
    ]


@pytest.mark.parametrize(
    ("made", "state", "message"),
    [
        ("create view v as select * from doc", "PP003", "public.v is not a table"),
        ("create materialized view v as select * from doc", "PP003", "public.v is not a table"),
        ("create temp table v (id int primary key, title text)", "PP003", "v is a temporary table"),
        (
            "create table v (id int primary key, title text); create table v_embedding (a int)",
            "PP004",
            "name public.v_emb",
        ),
        ("create table v (id int primary key, title text); create type v_embedding as (a int)", "PP004", "is taken"),
        ("create table v (id int primary key, title text); create index v_embedding on doc (id)", "PP004", "is taken"),
        ("create table v (id int unique deferrable, title text)", "PP007", "has no primary key"),
    ],
)
def test_what_cannot_be_embedded(database: Database, made: str, state: str, message: str) -> None:
    """V30: a view, a temporary table, a name that is taken: one line, with what fits."""
    with database.connect(autocommit=True) as conn:
        make_docs(conn)
        conn.execute(made.encode())
        with pytest.raises(psycopg.Error, match=message) as caught:
            conn.execute("select pgpipe.enable_embedding('v', '{title}', 'fake', 3)")
    assert caught.value.sqlstate == state
    assert caught.value.diag.message_hint


def test_a_deferrable_key_and_an_unlogged_table(database: Database) -> None:
    """V30: both can be embedded; of the unlogged one it is said that a crash empties it."""
    warnings: list[str | None] = []
    with database.connect(autocommit=True) as conn:
        conn.add_notice_handler(lambda diag: warnings.append(diag.message_primary))
        conn.execute("create unlogged table doc (id int primary key deferrable, title text)")
        conn.execute("insert into doc values (1, 'one'), (2, 'two')")
        embedding = embed(conn, "doc", ["title"])
        assert warnings == ["public.doc is unlogged: a crash of the server empties it"]
        drain(conn, embedding)
        conn.execute("update doc set id = 3 - id")
        assert set(jobs(conn, embedding)) == {'{"id": 1}', '{"id": 2}'}
        drain(conn, embedding)
        assert stored(conn) == [1, 2]
