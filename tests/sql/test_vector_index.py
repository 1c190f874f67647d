"""The vector index: built once there is enough to index and no backlog, of the kind that is asked for, and used."""

import pytest

from pgpipe.db import Connection, Database
from pgpipe.embed import index
from pgpipe.settings.model import IndexSettings
from tests.conftest import also_on_16
from tests.sql.support import column, value
from tests.sql.vectors import FEW, INDEXES, filled, vector_of


@also_on_16
def test_built_and_used(any_database: Database, conn: Connection) -> None:
    """Enough rows and no backlog: the index is built, named after the store, and read by the search's query."""
    embedding = filled(conn)
    near = vector_of(conn, 77)

    assert index.build(any_database, embedding, IndexSettings())

    assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", True)]
    assert not index.build(any_database, embedding, IndexSettings())
    conn.execute("set enable_seqscan = off")
    scans = "select idx_scan from pg_stat_user_indexes where indexrelname = 'doc_embedding_hnsw'"
    before = value(conn, scans)

    assert value(conn, "select (key ->> 'id')::int from pgpipe.vector_search('doc', %s, 5)", near) == 77

    conn.execute("select pg_stat_force_next_flush()")
    conn.execute("select pg_stat_clear_snapshot()")
    assert value(conn, scans) > before


def test_a_filter_that_few_rows_pass(any_database: Database, conn: Connection) -> None:
    """With the index in use a filtered search still finds k rows, though the nearest hundreds do not pass."""
    index.build(any_database, filled(conn), IndexSettings())
    conn.execute("set enable_seqscan = off")
    search = "select (key ->> 'id')::int from pgpipe.vector_search('doc', %s, 10, %s)"

    assert sorted(column(conn, search, vector_of(conn, 77), '{"size": {"gte": 2000, "lt": 2010}}')) == list(
        range(2000, 2010)
    )


def test_not_before_the_backlog_is_gone(any_database: Database, conn: Connection) -> None:
    """While jobs wait the store grows, and an index would slow that down; few rows need none."""
    embedding = filled(conn)
    conn.execute("update doc set title = 'x' where id = 1")
    assert not index.build(any_database, embedding, IndexSettings())

    conn.execute("delete from pgpipe.job")
    conn.execute("delete from doc where id > 4999")
    assert not index.build(any_database, embedding, IndexSettings())
    assert conn.execute(INDEXES).fetchall() == []


@also_on_16
def test_after_the_maximum_wait(any_database: Database, conn: Connection) -> None:
    """A queue that never empties does not keep a store without index for ever."""
    embedding = filled(conn, FEW)
    settings = IndexSettings(min_rows=FEW, max_wait=60)
    conn.execute("update doc set title = 'x' where id = 1")

    assert not index.build(any_database, embedding, settings)
    conn.execute("update pgpipe.embedding set created_at = now() - interval '61 seconds'")
    assert index.build(any_database, embedding, settings)


def test_an_index_of_an_earlier_version(any_database: Database, conn: Connection) -> None:
    """An IVFFlat index, which 0.1.0 could build, serves until the HNSW index is there; then it goes."""
    embedding = filled(conn)
    conn.execute("create index doc_embedding_ivfflat on doc_embedding using ivfflat (vector vector_cosine_ops)")
    near = vector_of(conn, 77)
    assert column(conn, "select (key ->> 'id')::int from pgpipe.vector_search('doc', %s, 1)", near) == [77]

    assert index.build(any_database, embedding, IndexSettings())
    assert value(conn, "select pgpipe_internal.drop_invalid_index(%s)", embedding.embedding_id)

    assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", True)]
    assert column(conn, "select (key ->> 'id')::int from pgpipe.vector_search('doc', %s, 1)", near) == [77]


def test_no_index_at_all(any_database: Database, conn: Connection) -> None:
    """Where the settings say so."""
    assert not index.build(any_database, filled(conn, FEW), IndexSettings(kind="none", min_rows=FEW))


def test_the_memory_estimate(conn: Connection) -> None:
    """With as much memory as is estimated the whole graph is built in memory; with half of it PostgreSQL complains."""
    embedding = filled(conn, rows=2500, dims=384)
    asked = (embedding.embedding_id,)
    row = conn.execute(
        "select memory, statement from pgpipe_internal.vector_index(%s, min_rows => 2500)", asked
    ).fetchone()
    assert row
    notices: list[str] = []
    conn.add_notice_handler(lambda d: notices.append(d.message_primary or ""))
    for share in (1.0, 0.5):
        conn.execute("select set_config('maintenance_work_mem', %s, false)", (f"{int(row[0] * share) >> 10}kB",))

        conn.execute(row[1].encode())

        assert any("no longer fits into maintenance_work_mem" in n for n in notices) is (share < 1)
        conn.execute("drop index doc_embedding_hnsw")


@pytest.mark.parametrize(("dims", "indexed"), [(2001, True), (4000, True), (4001, False)])
def test_as_many_dimensions_as_the_index_takes(conn: Connection, dims: int, indexed: bool) -> None:
    """Halfvec up to 4000 dimensions; beyond that an exact scan answers, and no build is tried."""
    embedding = filled(conn, rows=20, dims=dims)

    asked = (embedding.embedding_id,)
    answer = conn.execute(
        "select rows, statement from pgpipe_internal.vector_index(%s, min_rows => 10)", asked
    ).fetchone()
    rows, statement = answer or (None, None)

    assert (statement is not None) is indexed
    if indexed:
        assert rows == 20
        conn.execute(statement.encode())
        assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", True)]
    assert value(conn, "select key ->> 'id' from pgpipe.vector_search('doc', %s, 1)", vector_of(conn, 7)) == "7"
