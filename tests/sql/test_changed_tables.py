"""V3: a table that changes under its triggers never fails a write, and nothing stale is called fresh."""

import pytest

from pgpipe.db import Connection, Database
from pgpipe.embed import queue
from pgpipe.embed.reconcile import reconcile
from tests.conftest import also_on_16
from tests.sql.fake_model import Fake, make_worker
from tests.sql.support import column, drain, embed, embedded_docs, jobs, make_docs, stored, value

STATUS = "select coverage::float8, reason from pgpipe.embedding_status"
WRITES = (
    "insert into {} (id, size) select n, 1 from generate_series(100, 103) n",
    "insert into {} (id, size) select n, 1 from generate_series(200, 400) n",
    "update {} set size = 7 where id < 3",
    "update {} set size = 8",
    "delete from {} where id = 2",
    "delete from {} where id > 150",
)
CHANGES = {
    "an embedded column renamed": "alter table doc rename body to text",
    "an embedded column dropped": "alter table doc drop body",
    "an embedded column retyped": "alter table doc alter body type int using length(body)",
    "a column of the condition renamed": "alter table doc rename kind to sort",
    "a column of the condition dropped": "alter table doc drop kind",
    "a column of the condition retyped": "alter table doc alter kind drop default, alter kind type int using 1",
    "the key retyped": "alter table doc alter id type numeric",
    "the table renamed": "alter table doc rename to texts",
    "the schema changed": "create schema elsewhere; alter table doc set schema elsewhere",
    "the schema renamed": "create schema elsewhere; alter table doc set schema elsewhere;"
    " alter schema elsewhere rename to nowhere",
}
NAMES = {"the table renamed": "texts", "the schema changed": "elsewhere.doc", "the schema renamed": "nowhere.doc"}
DOUBTLESS = set(NAMES)


def embedded(conn: Connection) -> int:
    """Docs that all have vectors, of an embedding with a condition."""
    make_docs(conn, 5)
    conn.execute("alter table doc add kind text default 'a'")
    embedding = embed(conn, condition="kind = 'a'")
    drain(conn, embedding)
    assert conn.execute(STATUS).fetchone() == (1, None)
    return embedding


@pytest.mark.parametrize("change", CHANGES)
def test_writes_go_on(conn: Connection, change: str) -> None:
    """V3: each insert, update and delete succeeds; coverage is unknown unless the triggers see all."""
    embedded(conn)
    conn.execute(CHANGES[change].encode())

    for write in WRITES:
        conn.execute(write.format(NAMES.get(change, "doc")).encode())

    coverage, reason = conn.execute(STATUS).fetchone() or (0, "")
    assert (coverage is None) == (change not in DOUBTLESS)
    assert bool(reason) == (change not in DOUBTLESS)


@also_on_16
def test_the_key_renamed(conn: Connection) -> None:
    """V3: writes go on under the new name of the key, and status says that the old one is missing."""
    embedded(conn)
    conn.execute("alter table doc rename id to number")

    for write in WRITES:
        conn.execute(write.format("doc").replace("id", "number").encode())

    coverage, reason = conn.execute(STATUS).fetchone() or (0, "")
    assert coverage is None
    assert "has no column id: declare the embedding again" in reason


@also_on_16
def test_a_column_that_comes_back(any_database: Database, conn: Connection) -> None:
    """V3: what was written while a column had another name is found by the next drain, and triggers see on."""
    embedding = embedded(conn)
    conn.execute("alter table doc rename body to text")
    conn.execute("update doc set text = 'unseen' where id = 1")
    conn.execute("insert into doc values (9, 'new', 'unseen', 1, 'a')")
    assert jobs(conn, embedding) == {'{"id": 9}': 1}  # to see that a row is new takes its key alone
    assert column(conn, "select sqlstate from pgpipe.missed") == ["42703"]
    conn.execute("alter table doc rename text to body")
    assert "could not read" in (conn.execute(STATUS).fetchone() or ("", ""))[1]

    make_worker(any_database, Fake()).drain()

    assert 9 in stored(conn)
    assert value(conn, "select vector <> '[1,0,0]' from doc_embedding where id = 1")
    assert conn.execute(STATUS).fetchone() == (1, None)
    conn.execute("update doc set body = 'seen' where id = 2")
    assert jobs(conn, embedding) == {'{"id": 2}': 1}


def test_a_note_outlives_a_sweep_that_its_writer_overlaps(conn: Connection, other: Connection) -> None:
    """V3: a writer that ends after a sweep began leaves a note, also if an earlier note was there already."""
    embedding = embedded(conn)
    conn.execute("alter table doc rename body to text")
    conn.execute("update doc set text = 'unseen' where id = 1")
    with other.transaction():
        other.execute("update doc set text = 'unseen' where id = 2")
        assert column(conn, "select sqlstate from pgpipe.missed") == ["42703"]
        conn.execute("set lock_timeout = '2s'")
        conn.execute(
            "delete from pgpipe.missed m where m.ctid = any (array(select k.ctid from pgpipe.missed k"
            " where k.embedding_id = %s for update skip locked))",
            (embedding,),
        )
        conn.execute("reset lock_timeout")
    assert column(conn, "select sqlstate from pgpipe.missed") == ["42703"]


def test_no_subtransaction_id(database: Database) -> None:
    """V3: 100 statements of one transaction take no id of a subtransaction, whether the keys can be read or not."""
    used = """
        select s.subxact_count, s.subxact_overflowed
          from pg_stat_get_backend_idset() b cross join pg_stat_get_backend_subxact(b) s
         where pg_stat_get_backend_pid(b) = pg_backend_pid()
    """
    with database.connect(autocommit=True) as conn:
        embedded_docs(conn, 300)
        for first, change in ((1000, "select 1"), (2000, "alter table doc rename body to text")):
            conn.execute(change.encode())
            with conn.transaction():
                for n in range(35):
                    conn.execute("insert into doc values (%s, 'a', 'b', 1)", (first + n,))
                    conn.execute("update doc set title = %s where id <= %s", (str(n) + change, 1 + n * 8))
                    conn.execute("delete from doc where id = %s", (300 - n,))
                conn.execute("select pg_stat_clear_snapshot()")
                assert conn.execute(used).fetchone() == (0, False)


def test_an_owners_reconcile_renders_again(conn: Connection) -> None:
    """V3: after a column changed its type a reconcile leaves functions of the present types."""
    embedding = embedded_docs(conn)
    conn.execute(
        "alter table doc rename title to other; alter table doc rename body to title;"
        " alter table doc rename other to body"
    )
    conn.execute("alter table doc alter id type text")

    reconcile(conn, queue.embeddings(conn)[0])

    conn.execute("delete from pgpipe.job")
    conn.execute("update doc set title = 'x' where id = '1'")
    assert jobs(conn, embedding) == {'{"id": "1"}': 1}


PARTED = """
    create table doc (id int primary key, title text, body text, size int) partition by range (id);
    create table low partition of doc for values from (0) to (100);
    create table high partition of doc for values from (100) to (1000)
"""
PARTITIONS = {
    "detached": "alter table doc detach partition low",
    "attached again": "alter table doc detach partition low; update low set title = 'unseen';"
    " alter table doc attach partition low for values from (0) to (100)",
    "dropped": "drop table low",
    "truncated": "truncate low",
    "all truncated": "truncate doc",
}


@also_on_16
@pytest.mark.parametrize("change", PARTITIONS)
def test_partitions_come_and_go(any_database: Database, conn: Connection, change: str) -> None:
    """V3, V5, V6: nothing is refused, writes go on, and a drain leaves vectors of exactly the rows that are there."""
    conn.execute(PARTED)
    conn.execute("insert into doc select n, 'title ' || n, 'body', n from generate_series(90, 120) n")
    drain(conn, embed(conn))
    conn.execute("delete from pgpipe.missed")
    conn.execute(PARTITIONS[change].encode())
    coverage, reason = conn.execute(STATUS).fetchone() or (0, "")
    assert coverage is None
    assert reason
    conn.execute("insert into doc values (500, 'new', 'new', 1)")
    conn.execute("update doc set title = 'changed' where id = 101")
    conn.execute("delete from doc where id = 102")

    make_worker(any_database, Fake()).drain()

    assert stored(conn) == column(conn, "select id from doc order by 1")
    assert conn.execute(STATUS).fetchone() == (1, None)


@pytest.mark.parametrize(
    "change",
    [
        "alter table doc drop constraint doc_pkey",
        "alter table doc drop constraint doc_pkey, add column other serial primary key",
    ],
)
def test_without_its_primary_key(conn: Connection, change: str) -> None:
    """V5: writes go on, two rows of one key included, and status says what to do."""
    embedded_docs(conn)
    conn.execute(change.encode())
    conn.execute("insert into doc (id, title) values (1, 'again'), (9, 'new'), (9, 'new')")
    conn.execute("insert into doc (id, title) select n % 100, 'many' from generate_series(1, 200) n")
    conn.execute("update doc set title = title || 'x'")
    conn.execute("update doc set title = 'y' where id < 10")
    conn.execute("delete from doc where id = 9")

    coverage, reason = conn.execute(STATUS).fetchone() or (0, "")
    assert coverage is None
    assert "the primary key of public.doc is not (id) any more: declare the embedding again" in reason


def test_a_primary_key_that_comes_back(conn: Connection) -> None:
    """V5: a key that is dropped and made again is as it was."""
    embedding = embedded_docs(conn)
    conn.execute("alter table doc drop constraint doc_pkey cascade; alter table doc add primary key (id)")
    assert conn.execute(STATUS).fetchone() == (1, None)
    conn.execute("delete from doc where id = 1")
    drain(conn, embedding)
    assert stored(conn) == [2, 3]


@also_on_16
def test_a_wider_key(any_database: Database, conn: Connection) -> None:
    """V7: the store's key follows, and a row beyond the old range gets its vector."""
    embedded_docs(conn)
    conn.execute("alter table doc alter id type bigint")
    conn.execute("insert into doc values (3000000000, 'far', 'out', 1), (4, 'near', 'by', 1)")

    make_worker(any_database, Fake()).drain()

    assert stored(conn) == [1, 2, 3, 4, 3000000000]
    assert conn.execute(STATUS).fetchone() == (1, None)


@pytest.mark.parametrize("indexed", [False, True])
def test_rows_that_are_gone_take_no_place(conn: Connection, indexed: bool) -> None:
    """V5: a thousand deleted rows nearer than the others, whose jobs wait, leave a search its k rows."""
    make_docs(conn, 1100)
    embedding = embed(conn)
    for _ in range(2):
        drain(conn, embedding)
    conn.execute("update doc_embedding set vector = case when id <= 1000 then '[1,0,0]' else '[1,1,0]' end::vector")
    if indexed:
        conn.execute("create index on doc_embedding using hnsw (vector vector_cosine_ops)")
    conn.execute("delete from doc where id <= 1000")

    found = column(conn, "select (key->>'id')::int from pgpipe.vector_search('doc', '[1,0,0]', k => 10)")

    assert len(found) == 10
    assert min(found) > 1000
