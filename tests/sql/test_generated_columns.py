"""V2: generated columns as inputs, in conditions, as filters, in searches: followed, or refused in words."""

import pytest

from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.sql.support import drain, embed, jobs, sqlstate, value


def make(conn: Connection, kind: str) -> None:
    conn.execute(
        f"create table doc (id int primary key, title text, size int,"
        f" loud text generated always as (upper(title)) {kind},"
        f" twice int generated always as (size * 2) {kind})".encode()
    )
    conn.execute("insert into doc (id, title, size) values (1, 'one', 1), (2, 'two', 2)")


@pytest.fixture
def virtual(conn: Connection) -> Connection:
    """A table with virtual generated columns, which PostgreSQL has from 18 on."""
    if conn.info.server_version < 180000:
        pytest.skip("virtual generated columns came with PostgreSQL 18")
    make(conn, "virtual")
    return conn


@pytest.mark.parametrize(
    "declaration",
    [
        "select pgpipe.enable_embedding('doc', '{title,loud}', 'fake', 3)",
        "select pgpipe.enable_embedding('doc', '{title}', 'fake', 3, condition => 'twice > 2')",
        "select pgpipe.enable_embedding('doc', '{title}', 'fake', 3); select pgpipe.enable_filters('doc', '{twice}')",
        "select pgpipe.enable_search('doc', '{loud=>A}')",
        "select pgpipe.enable_search('doc', '{loud=>A}', online => true)",
        "select pgpipe.enable_search('doc', '{title=>A}', language_column => 'loud')",
    ],
)
def test_virtual_columns_are_refused(virtual: Connection, declaration: str) -> None:
    """V2: no trigger sees the values of a virtual column, so a declaration that would need them is refused in words."""
    with pytest.raises(Exception, match=r"(?s)generated column.*Name the columns that it is computed from") as caught:
        virtual.execute(declaration.encode())

    assert caught.value.sqlstate == "PP003"  # type: ignore[attr-defined]
    virtual.execute("insert into doc (id, title, size) values (3, 'three', 3)")
    virtual.execute("update doc set title = 'uno', size = 9 where id = 1")


@also_on_16
def test_virtual_columns_beside_are_no_matter(virtual: Connection) -> None:
    """V2: a table that has virtual columns is embedded, searched and filtered by its others."""
    embedding = embed(virtual, columns=["title"], condition="size > 1")
    virtual.execute("select pgpipe.enable_filters('doc', '{size}')")
    virtual.execute("select pgpipe.enable_search('doc', '{title=>A}')")
    assert drain(virtual, embedding) == 1

    virtual.execute("update doc set size = 3 where id = 1")

    assert list(jobs(virtual, embedding)) == ['{"id": 1}']
    assert value(virtual, "select count(*) from pgpipe.vector_search('doc', '[1,0,0]', 10, '{\"twice\": 4}')") == 1


@also_on_16
def test_stored_columns_are_followed(conn: Connection) -> None:
    """V2: a stored generated column is an input, a condition and a filter like any other."""
    make(conn, "stored")
    embedding = embed(conn, columns=["loud"], condition="twice > 2")
    conn.execute("select pgpipe.enable_filters('doc', '{twice}')")
    assert drain(conn, embedding) == 1

    conn.execute("update doc set title = 'zwei' where id = 2")
    assert list(jobs(conn, embedding)) == ['{"id": 2}']
    conn.execute("update doc set size = 2 where id = 1")
    assert set(jobs(conn, embedding)) == {'{"id": 1}', '{"id": 2}'}
    drain(conn, embedding)
    conn.execute("update doc set size = 5 where id = 2")

    found = "select array_agg(key ->> 'id') from pgpipe.vector_search('doc', '[1,0,0]', 10, '{\"twice\": {\"gt\": 4}}')"
    assert value(conn, found) == ["2"]


def test_a_search_of_stored_columns_is_refused(conn: Connection) -> None:
    """V2: a search column cannot be computed from a generated one; a trigger would find NULL there, and say nothing."""
    make(conn, "stored")

    assert sqlstate(conn, "select pgpipe.enable_search('doc', '{loud=>A}')") == "PP003"
    assert sqlstate(conn, "select pgpipe.enable_search('doc', '{loud=>A}', online => true)") == "PP003"
