"""Filter tables: equal to store and target at every moment, never a reason for another answer or a failed write."""

import json
import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg.errors import LockNotAvailable, SerializationFailure

from pgpipe.db import Connection, Database
from tests.conftest import also_on_16
from tests.sql.support import claim, column, drain, embed, finish, make_docs, release, value
from tests.sql.test_search_permissions import NEAR, grant, reader  # noqa: F401 - a fixture
from tests.sql.test_vector_index import filled, vector_of

ENABLE = "select pgpipe.enable_filters('doc', %s)"
ANSWER = "select key, score from pgpipe.vector_search('doc', %s, %s, %s)"
STATEMENT = """
    select pgpipe_internal.nearest_statement(e, %s, true, true, pgpipe_internal.kept_filter(e, %s))
      from pgpipe.embedding e where active
"""
COPY = """
    select f.id, chunk, vector::text, f.size, f.body
      from doc_embedding_filter f join doc d using (id) order by id, chunk
"""
TRUE_COPY = """
    select d.id, chunk, vector::halfvec::text, size, body from doc_embedding s join doc d using (id) order by id, chunk
"""
FILTERS: list[dict[str, Any]] = [
    {"size": 7},
    {"size": [1, 2, 3000, None]},
    {"size": {"gte": 10, "lt": 60}},
    {"size": None},
    {"size": {"ne": 5}, "body": "body 6"},
    {"size": {"lt": 500}, "title": {"gt": "title 3"}},
    {"title": "title 9"},
    {"body": "nobody's"},
]


@pytest.fixture
def docs(conn: Connection) -> Connection:
    """Docs with their vectors, some without a size, whose filter table has size and body."""
    filled(conn, 3000)
    conn.execute("update doc set size = null where id % 10 = 0")
    conn.execute("delete from pgpipe.job")
    conn.execute(ENABLE, (["size", "body"],))
    return conn


def assert_equal(conn: Connection) -> None:
    """The filter table holds what it should, and serves."""
    assert conn.execute(COPY).fetchall() == conn.execute(TRUE_COPY).fetchall()
    assert column(conn, "select filter_error from pgpipe.embedding") == [None]


def answers(conn: Connection) -> Iterator[Any]:
    """What searches with every filter find."""
    for where in FILTERS:
        for question in (77, 1234):
            yield conn.execute(ANSWER, (vector_of(conn, question), 20, json.dumps(where))).fetchall()


def test_the_same_answers_as_without(docs: Connection) -> None:
    """Keys and scores of every filter, to the last digit."""
    beside = list(answers(docs))
    assert any(beside)

    docs.execute("select pgpipe.disable_filters('doc')")

    assert list(answers(docs)) == beside
    assert value(docs, "select to_regclass('doc_embedding_filter')") is None
    assert column(docs, "select tgname from pg_trigger where starts_with(tgname, 'pgpipe_filters')") == []


@also_on_16
def test_the_index_holds_the_vectors(docs: Connection) -> None:
    """What passes is compared within the index; the target is asked for other columns only."""
    docs.execute("vacuum analyze doc_embedding_filter")
    docs.execute("set enable_seqscan = off")
    plans = {}
    for where in ({"size": 7}, {"size": 7, "title": "x"}, {"title": "x"}):
        statement = value(docs, STATEMENT, json.dumps(where), json.dumps(where))
        prepared = f"prepare near(vector, int) as {statement}"
        docs.execute(prepared.encode())
        plans[len(where), "size" in where] = "\n".join(
            column(docs, f"explain execute near('{vector_of(docs, 5)}', 10)")
        )
        docs.execute("deallocate near")

    assert "Index Only Scan using doc_embedding_filter_size" in plans[1, True]
    assert ' on doc "row"' not in plans[1, True]
    assert "doc_embedding_filter" in plans[2, True]
    assert ' on doc "row"' in plans[2, True]
    assert "doc_embedding_filter" not in plans[1, False]


@also_on_16
@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 4))])
def test_it_stays_equal(conn: Connection, seed: int) -> None:
    """Rows come, go, and change their text, their key and their filter columns, between and within transactions."""
    make_docs(conn, 40)
    embedding = embed(conn, chunk_size=10)
    conn.execute(ENABLE, (["size", "body"],))
    draw = random.Random(seed)
    changes = [
        "insert into doc select n, 'new' from generate_series(%(low)s + 99, %(high)s + 99) n on conflict do nothing",
        "update doc set size = nullif(id %% %(high)s, 0) where id between %(low)s and %(high)s",
        "update doc set title = title || '!', body = null where id between %(low)s and %(high)s",
        "update doc set id = id + %(step)s * 10000 where id between %(low)s and %(high)s",
        "update doc set id = -%(step)s, size = 1 where id = %(high)s",
        "insert into doc values (%(low)s, 'x', 'y', 2) on conflict (id) do update set size = 99, body = 'z'",
        "delete from doc where id between %(low)s and %(low)s + 3",
    ]
    for step in range(1, 60):
        low = draw.randrange(1, 40)
        with conn.transaction(force_rollback=draw.random() < 0.2):
            for change in draw.sample(changes, draw.randrange(1, 4)):
                conn.execute(change.encode(), {"low": low, "high": low + draw.randrange(1, 9), "step": step})
            if draw.random() < 0.7:
                held = claim(conn, embedding, draw.randrange(1, 30))
                finish(conn, held, str([draw.random() for _ in range(3)]))
        assert_equal(conn)
    drain(conn, embedding)
    assert_equal(conn)
    assert value(conn, "select count(*) from doc_embedding_filter") > 0


@also_on_16
def test_a_worker_beside_a_writer(any_database: Database, conn: Connection) -> None:
    """While a row's filter columns are being changed its vector is not written; a change waits for one that is."""
    make_docs(conn, 2)
    embedding = embed(conn)
    conn.execute(ENABLE, (["size", "body"],))
    held = claim(conn, embedding)
    with any_database.connect() as writer:
        writer.execute("update doc set size = 50 where id = 1")
        finish(conn, held)
        assert column(conn, "select id from doc_embedding_filter") == [2]
        writer.commit()
    release(conn, held)
    held = claim(conn, embedding)
    with any_database.connect() as worker:
        finish(worker, held)
        conn.execute("set lock_timeout = '100ms'")
        with pytest.raises(LockNotAvailable):
            conn.execute("update doc set size = 51 where id = 1")
        conn.execute("set lock_timeout = 0")
        threading.Timer(0.2, worker.commit).start()
        conn.execute("update doc set size = 51 where id = 1")

    assert_equal(conn)
    assert column(conn, "select size from doc_embedding_filter order by id") == [51, 2]


def test_a_snapshot_that_is_older(any_database: Database, conn: Connection) -> None:
    """Who does not see a vector that was written meanwhile may not change the filter column of its row."""
    make_docs(conn, 1)
    embedding = embed(conn)
    conn.execute(ENABLE, (["size", "body"],))
    with any_database.connect() as writer:
        writer.execute("set transaction isolation level repeatable read")
        writer.execute("select from doc")
        drain(conn, embedding)
        with pytest.raises(SerializationFailure):
            writer.execute("update doc set size = 50")

    assert_equal(conn)


@pytest.mark.parametrize(
    "change",
    [
        "alter table doc alter size type bigint; update doc set size = 5000000000 where id = 7",
        "alter table doc drop column size; update doc set title = 'new' where id = 7",
        "alter table doc rename size to extent; update doc set title = 'new' where id = 7",
        "alter table doc alter size type text; update doc set size = 'new' where id = 7",
        "drop table doc_embedding_filter; update doc set size = 1 where id = 7",
        "update doc set body = (select string_agg(md5(n::text), '') from generate_series(1, 1000) n) where id = 7",
    ],
    ids=["a larger type", "dropped", "renamed", "another type", "no table", "too long for an index"],
)
def test_what_it_cannot_keep_stops_no_write(docs: Connection, change: str) -> None:
    """The write is done, the table is left alone, answers stay right; declared again it serves again."""
    docs.execute(change.encode())
    assert column(docs, "select filter_error is not null from pgpipe.embedding") == [True]
    where = json.dumps({"body": "body 9"})
    assert column(docs, NEAR, vector_of(docs, 5), 10, where) == [9]
    docs.execute("update doc set title = 'again', body = 'short' where id in (7, 9)")
    assert column(docs, NEAR, vector_of(docs, 5), 10, where) == []

    kept = "from pgpipe.embedding where filter_error is null"
    docs.execute("select pgpipe_internal.repair_filters(embedding_id) from pgpipe.embedding")
    mended = bool(column(docs, f"select filters {kept}"))
    assert mended == ("update doc set size" in change or "string_agg" in change)

    docs.execute(ENABLE, (["body"],))

    assert column(docs, NEAR, vector_of(docs, 5), 10, json.dumps({"body": "short"})) in ([7, 9], [9, 7])
    assert column(docs, "select filter_error from pgpipe.embedding") == [None]


@also_on_16
def test_a_load_widens_it_too(docs: Connection) -> None:
    """A column that a load widens, key or filter, is widened in the filter table as well."""
    docs.execute(
        "select pgpipe_internal.evolve('doc', '[]', %s)",
        (json.dumps([{"name": n, "type": "bigint"} for n in ("id", "size")]),),
    )

    docs.execute("update doc set id = 5000000000, size = 6000000000 where id = 7")

    assert_equal(docs)


@also_on_16
def test_reconcile_mends_it(docs: Connection) -> None:
    """What was written without triggers, as a restore does, is found, and the table is made again."""
    docs.execute("set session_replication_role = replica")
    docs.execute("update doc set size = 1 where id between 1 and 9")
    docs.execute("delete from doc_embedding_filter where id = 5")
    docs.execute("set session_replication_role = origin")

    docs.execute("select pgpipe_internal.reconcile_rows(embedding_id, 10) from pgpipe.embedding")

    assert_equal(docs)
    assert value(docs, "select pgpipe_internal.repair_filters(embedding_id) from pgpipe.embedding") is False


@also_on_16
def test_a_key_column_may_be_one(conn: Connection) -> None:
    """With a key of several columns, tenants say, one of them is the filter; nothing of it is copied twice."""
    conn.execute("create table doc (tenant text, n int, title text, primary key (tenant, n))")
    conn.execute("insert into doc select 't' || n % 3, n, 'title ' || n from generate_series(1, 30) n")
    embedding = embed(conn, columns=["title"])
    conn.execute(ENABLE, (["tenant"],))
    drain(conn, embedding)

    conn.execute("update doc set tenant = 't9' where n < 4")

    drain(conn, embedding)

    found = column(
        conn, "select key ->> 'n' from pgpipe.vector_search('doc', '[1,0,0]', 10, %s)", json.dumps({"tenant": "t9"})
    )
    assert sorted(found) == ["1", "2", "3"]
    assert column(
        conn, "select attname::text from pg_attribute where attrelid = 'doc_embedding_filter'::regclass and attnum > 0"
    ) == [
        "tenant",
        "n",
        "chunk",
        "vector",
    ]


@pytest.mark.parametrize("dims", [1200, 1201, 2500])
def test_wide_vectors(conn: Connection, dims: int) -> None:
    """Half vectors of up to 1,200 dimensions lie in the index; wider ones, also of a store of halves, do not."""
    make_docs(conn, 20)
    drain(conn, embed(conn, dims=dims), str([1.0] * dims))

    conn.execute(ENABLE, (["size", "title"],))

    assert column(
        conn, "select key ->> 'id' from pgpipe.vector_search('doc', %s, 10, %s)", str([1] * dims), '{"size": 7}'
    ) == ["7"]
    indexes = column(conn, "select indexdef from pg_indexes where tablename = 'doc_embedding_filter' order by 1")
    assert [("vector" in made) for made in indexes] == [dims <= 1200] * 2 + [False]  # size, title, the primary key
