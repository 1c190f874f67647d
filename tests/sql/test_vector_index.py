"""The vector index: built beside running work when there is enough to index, and used."""

import pytest

from pgpipe.db import Connection
from pgpipe.embed import index, queue
from pgpipe.embed.queue import Embedding
from tests.sql.support import column, embed, make_docs, value

INDEXES = """
    select c.relname::text, i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid
      join pg_am m on m.oid = c.relam where i.indrelid = 'doc_embedding'::regclass and m.amname = 'hnsw'
"""


def filled(conn: Connection, rows: int = 5000, dims: int = 8) -> Embedding:
    """A store of vectors in all directions, no near twins (HNSW may answer either of two), as a drain leaves it."""
    make_docs(conn, rows)
    embed(conn, dims=dims)
    spread = """
        insert into doc_embedding
        select id, 0, 0, 5, pgpipe.content_hash(concat_ws(chr(10), title, body)), 'fake',
               array(select hashint4extended(id, j) / 2.0 ^ 63 from generate_series(1, %s) j)::vector from doc
    """
    conn.execute(spread, (dims,))
    conn.execute("delete from pgpipe.job")
    conn.execute("analyze doc_embedding")
    return queue.embeddings(conn)[0]


def vector_of(conn: Connection, id_: int) -> str:
    """What is stored for a row: a question to which that row is the nearest answer."""
    return value(conn, "select vector::text from doc_embedding where id = %s", id_)


def test_built_and_used(conn: Connection) -> None:
    """Enough rows and no backlog: the index is built, named after the store, and read by the search's query."""
    embedding = filled(conn)
    near = vector_of(conn, 77)

    assert index.build(conn, embedding)

    assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", True)]
    assert not index.build(conn, embedding)
    conn.execute("set enable_seqscan = off")
    plan = column(conn, f"explain select id from doc_embedding s order by s.vector <=> '{near}' limit 40")
    assert "Index Scan using doc_embedding_hnsw" in "\n".join(plan)
    scans = "select idx_scan from pg_stat_user_indexes where indexrelname = 'doc_embedding_hnsw'"
    before = value(conn, scans)

    assert value(conn, "select (key ->> 'id')::int from pgpipe.vector_search('doc', %s, 5)", near) == 77

    conn.execute("select pg_stat_force_next_flush()")
    conn.execute("select pg_stat_clear_snapshot()")
    assert value(conn, scans) > before


def test_a_filter_that_few_rows_pass(conn: Connection) -> None:
    """With the index in use a filtered search still finds k rows, though the nearest hundreds do not pass."""
    index.build(conn, filled(conn))
    conn.execute("set enable_seqscan = off")
    search = "select (key ->> 'id')::int from pgpipe.vector_search('doc', %s, 10, %s)"

    assert sorted(column(conn, search, vector_of(conn, 77), '{"size": {"gte": 2000, "lt": 2010}}')) == list(
        range(2000, 2010)
    )


def test_not_before_the_backlog_is_gone(conn: Connection) -> None:
    """While jobs wait the store grows, and an index would slow that down; few rows need none."""
    embedding = filled(conn)
    conn.execute("update doc set title = 'x' where id = 1")
    assert not index.build(conn, embedding)

    conn.execute("delete from pgpipe.job")
    conn.execute("delete from doc where id > 4999")
    assert not index.build(conn, embedding)
    assert conn.execute(INDEXES).fetchall() == []


def test_an_invalid_leftover_is_replaced(conn: Connection) -> None:
    """A build that was cut off leaves an index that nobody uses: it is dropped and built again."""
    embedding = filled(conn)
    conn.execute("create index doc_embedding_hnsw on doc_embedding using hnsw (vector vector_cosine_ops)")
    conn.execute("update pg_index set indisvalid = false where indexrelid = 'doc_embedding_hnsw'::regclass")

    assert index.build(conn, embedding)

    assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", True)]


def test_one_builds_at_a_time(conn: Connection, other: Connection) -> None:
    """A second worker leaves the build to the first, and does not wait for it."""
    embedding = filled(conn)
    other.execute("select pg_advisory_lock(hashtext('pgpipe index'), %s)", (embedding.embedding_id,))

    assert not index.build(conn, embedding)

    other.execute("select pg_advisory_unlock_all()")
    assert index.build(conn, embedding)


@pytest.mark.parametrize(("dims", "indexed"), [(2001, True), (4000, True), (4001, False)])
def test_as_many_dimensions_as_the_index_takes(conn: Connection, dims: int, indexed: bool) -> None:
    """Halfvec up to 4000 dimensions; beyond that an exact scan answers, and no build is tried."""
    embedding = filled(conn, rows=20, dims=dims)

    answer = conn.execute("select * from pgpipe.vector_index(%s, 10)", (embedding.embedding_id,)).fetchone()
    rows, cleanup, statement = answer or (None, "", None)

    assert (statement is not None) is indexed
    if indexed:
        assert rows == 20
        conn.execute(cleanup.encode())
        conn.execute(statement.encode())
        assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", True)]
    assert value(conn, "select key ->> 'id' from pgpipe.vector_search('doc', %s, 1)", vector_of(conn, 7)) == "7"
