"""V32: which vectors of another table are adopted, by SQL."""

import json

import pytest

from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.sql.support import column, embed, sqlstate, value

ADOPT = "select examined, adopted from pgpipe_internal.adopt_vectors(%s, 'source', 'vector', %s, %s, %s)"
STEP = "select examined, adopted, last from pgpipe_internal.adopt_vectors(%s, 'source', 'vector', '{id}', %s, 3)"


@also_on_16
@pytest.mark.parametrize("names", [("key", "content"), ("vector_", "found"), ("stored", "number")])
def test_names_of_keys(conn: Connection, names: tuple[str, str]) -> None:
    """Whatever the columns of the key are called; of several rows of a key, one that has a vector is taken."""
    one, two = names
    conn.execute(f"create table doc ({one} int, {two} text, title text, primary key ({one}, {two}))".encode())
    conn.execute("insert into doc values (1, 'a', 'x'), (1, 'b', 'y'), (2, 'a', null), (3, 'a', 'z')")
    conn.execute("create table source (a bigint, b varchar, vector real[])")
    conn.execute(
        "insert into source values (1, 'a', null), (1, 'a', '{1,2,3}'), (1, 'a', '{1,2,3}'), (1, 'b', '{1,2,4}')"
    )
    embedding = embed(conn, "doc", ["title"])

    assert conn.execute(ADOPT, (embedding, ["a", "b"], None, 100)).fetchone() == (4, 2)

    assert column(conn, f"select {two} from doc_embedding order by 1") == ["a", "b"]
    assert value(conn, "select count(*) from pgpipe.job") == 2


def test_step_by_step(conn: Connection) -> None:
    """Each call goes on after the last key; jobs that somebody holds are left to him."""
    conn.execute(
        "create table doc (id int primary key, title text); insert into doc select n, n from generate_series(1, 9) n"
    )
    conn.execute("create table source as select id, array[id, 1, 1]::real[] as vector from doc")
    embedding = embed(conn, "doc", ["title"])
    conn.execute("""update pgpipe.job set lease_token = gen_random_uuid(), leased_by = 'x' where key = '{"id": 2}'""")

    found, last = [], None
    while True:
        row = conn.execute(STEP, (embedding, last and json.dumps(last))).fetchone()
        assert row is not None
        if not row[0]:
            break
        found.append(row[:2])
        last = row[2]

    assert found == [(3, 3), (3, 3), (2, 2)]
    assert column(conn, "select key ->> 'id' from pgpipe.job") == ["2"]


def test_a_key_of_other_columns(conn: Connection) -> None:
    """As many columns as the key has, and columns that are there: else it is said."""
    conn.execute("create table doc (id int primary key, title text); insert into doc values (1, 'a')")
    conn.execute("create table source as select id, array[id, 1, 1]::real[] as vector from doc")
    embedding = embed(conn, "doc", ["title"])

    assert sqlstate(conn, ADOPT, embedding, ["id", "vector"], None, 9) == "PP003"
    assert sqlstate(conn, ADOPT, embedding, ["other"], None, 9) == "PP002"
