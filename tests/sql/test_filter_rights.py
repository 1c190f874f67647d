"""Filter tables: who may read and declare them, and what is refused."""

import json

import psycopg

from pgpipe.db import Connection, Database
from tests.conftest import also_on_16
from tests.sql.support import column, embed, make_docs, sqlstate, value
from tests.sql.test_filters import ENABLE, assert_equal, docs
from tests.sql.test_search_permissions import NEAR, grant, reader
from tests.sql.test_vector_index import vector_of

__all__ = ["docs", "reader"]  # fixtures


def test_who_may_not_read_it(docs: Connection, any_database: Database) -> None:
    """Without a right to it, to the column, or to every row, the same answers come from the target, or its refusal."""
    docs.execute("create role narrow login; grant usage on schema pgpipe to narrow")
    docs.execute(
        "grant select on pgpipe.embedding, doc_embedding to narrow; grant select (id, title, size) on doc to narrow"
    )
    where = json.dumps({"size": 7})
    try:
        with psycopg.connect(any_database.url, user="narrow", autocommit=True) as own:
            search = "select key, score from pgpipe_internal.rank_vector('doc', %s, 10, %s)"
            near = vector_of(docs, 5)
            expected = docs.execute(search, (near, where)).fetchall()
            assert own.execute(search, (near, where)).fetchall() == expected
            docs.execute("grant select on doc_embedding_filter to narrow")
            assert own.execute(search, (near, where)).fetchall() == expected
            assert sqlstate(own, search, near, json.dumps({"size": 7, "body": "body 7"})) == "42501"
            docs.execute(
                "alter table doc enable row level security; create policy p on doc for select to narrow using (id <> 7)"
            )
            assert own.execute(search, (near, where)).fetchall() == []
    finally:
        docs.execute("drop owned by narrow; drop role narrow")


def test_what_is_refused(conn: Connection) -> None:
    """Unknown columns, arrays, JSON, the two names in use, targets without an embedding; nothing is left behind."""
    make_docs(conn, 2)
    assert sqlstate(conn, ENABLE, ["size"]) == "PP008"
    embed(conn)
    conn.execute("alter table doc add tags text[], add data json, add chunk int")
    states = {name: sqlstate(conn, ENABLE, ["size", name]) for name in ("nothing", "tags", "chunk", "data")}

    assert states == {"nothing": "PP002", "tags": "PP003", "chunk": "PP003", "data": "42704"}
    assert value(conn, "select to_regclass('doc_embedding_filter')") is None
    conn.execute(ENABLE, (["size"],))
    made = value(conn, "select 'doc_embedding_filter'::regclass::oid")
    conn.execute(ENABLE, (["size"],))
    assert value(conn, "select 'doc_embedding_filter'::regclass::oid") == made
    conn.execute(ENABLE, ([],))
    assert value(conn, "select to_regclass('doc_embedding_filter')") is None


def test_it_goes_with_its_embedding(docs: Connection) -> None:
    """Dropping the embedding, or the target and then declaring anything, leaves no filter table."""
    docs.execute("select pgpipe.enable_embedding('doc', '{title}', 'other', 3, name => 'second', enqueue => false)")
    docs.execute("select pgpipe.enable_filters('doc', '{size}', 'second')")
    docs.execute("select pgpipe.disable_embedding('doc', 'second')")
    assert value(docs, "select to_regclass('doc_embedding_second_filter')") is None
    docs.execute("update doc set size = 12 where id = 1")
    assert_equal(docs)

    docs.execute("drop table doc cascade")
    make_docs(docs, 1)
    embed(docs)

    assert value(docs, "select to_regclass('doc_embedding_filter')") is None


@also_on_16
def test_the_search_of_a_reader(conn: Connection, reader: Connection) -> None:
    """The role that may search is given the filter table as well."""
    grant(conn, reader, "")
    conn.execute(ENABLE, (["size"],))
    assert column(reader, NEAR, "[1,0,0]", 10, '{"size": {"gte": 5}}') == [5, 6]
    conn.execute(f'grant select on doc_embedding_filter to "{reader.info.user}"'.encode())

    assert column(reader, NEAR, "[1,0,0]", 10, '{"size": {"gte": 5}}') == [5, 6]


@also_on_16
def test_the_roles(conn: Connection) -> None:
    """The reader's role gets each filter table, made before the roles or after them; so does the embedder's."""
    make_docs(conn)
    embed(conn)
    conn.execute(ENABLE, (["size"],))
    conn.execute("select pgpipe.create_roles()")
    reads = "select has_table_privilege(r, 'doc_embedding_filter', 'select') from unnest(%s::text[]) r"
    assert column(conn, reads, ["pgpipe_reader", "pgpipe_embedder"]) == [True, True]

    conn.execute(
        "grant create on schema public to pgpipe_loader; alter table doc owner to pgpipe_loader;"
        " alter table doc_embedding owner to pgpipe_loader"
    )
    conn.execute(ENABLE, (["title"],))

    assert column(conn, reads, ["pgpipe_reader", "pgpipe_embedder"]) == [True, True]
    assert (
        value(conn, "select tableowner::text from pg_tables where tablename = 'doc_embedding_filter'")
        == "pgpipe_loader"
    )
