"""The vector index: built beside running work when there is enough to index, by one at a time, and used."""

import threading
import time
from pathlib import Path

import pytest

from pgpipe import errors
from pgpipe.config import DatabaseSettings, IndexSettings
from pgpipe.db import Connection, Database
from pgpipe.embed import index, queue
from pgpipe.embed.queue import Embedding
from tests.chaos.test_embedder_connections import pgbouncer
from tests.conftest import make_cli
from tests.sql.support import column, embed, eventually, make_docs, value

INDEXES = """
    select c.relname::text, i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid
      join pg_am m on m.oid = c.relam where i.indrelid = 'doc_embedding'::regclass and m.amname in ('hnsw', 'ivfflat')
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


def test_built_and_used(any_database: Database, conn: Connection) -> None:
    """Enough rows and no backlog: the index is built, named after the store, and read by the search's query."""
    embedding = filled(conn)
    near = vector_of(conn, 77)

    assert index.build(any_database, embedding, IndexSettings())

    assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", True)]
    assert not index.build(any_database, embedding, IndexSettings())
    conn.execute("set enable_seqscan = off")
    plan = column(conn, f"explain select id from doc_embedding s order by s.vector <=> '{near}' limit 40")
    assert "Index Scan using doc_embedding_hnsw" in "\n".join(plan)
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


def test_an_invalid_leftover_is_replaced(any_database: Database, conn: Connection) -> None:
    """A build that was cut off leaves an index that nobody uses: it is dropped and built again."""
    embedding = filled(conn)
    conn.execute("create index doc_embedding_hnsw on doc_embedding using hnsw (vector vector_cosine_ops)")
    conn.execute("update pg_index set indisvalid = false where indexrelid = 'doc_embedding_hnsw'::regclass")

    assert index.build(any_database, embedding, IndexSettings())

    assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", True)]


def test_one_builds_at_a_time(any_database: Database, conn: Connection, other: Connection) -> None:
    """A second worker leaves the build to the first, and does not wait for it."""
    embedding = filled(conn)
    other.execute("select pg_advisory_lock(hashtext('pgpipe index'), %s)", (embedding.embedding_id,))

    assert not index.build(any_database, embedding, IndexSettings())

    other.execute("select pg_advisory_unlock_all()")
    assert index.build(any_database, embedding, IndexSettings())


def test_a_build_that_goes_on_is_left_alone(any_database: Database, conn: Connection, other: Connection) -> None:
    """A worker was killed and the server builds on for it: the index in the making is not dropped, nor built twice."""
    embedding = filled(conn)
    conn.execute("create index doc_embedding_hnsw on doc_embedding using hnsw (vector vector_cosine_ops)")
    conn.execute("update pg_index set indisvalid = false where indexrelid = 'doc_embedding_hnsw'::regclass")
    other.autocommit = False
    other.execute("lock table doc_embedding in share update exclusive mode")  # as `create index concurrently` does

    assert not index.build(any_database, embedding, IndexSettings())
    assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", False)]

    other.rollback()
    assert index.build(any_database, embedding, IndexSettings())


def test_two_daemons_build_one_index(any_database: Database, conn: Connection) -> None:
    """Both look at the same moment: one builds, the other goes on, no error and no second index."""
    embedding = filled(conn)
    built: list[bool] = []
    threads = [
        threading.Thread(target=lambda: built.append(index.build(any_database, embedding, IndexSettings())))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(built) == [False, False, False, True]
    assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", True)]


def test_through_pgbouncer(database: Database) -> None:
    """In transaction mode, where a session's lock would stay behind on some connection: one builds, and then again."""
    with database.connect(autocommit=True) as conn, pgbouncer(database, pool=4) as url:
        embedding = filled(conn)
        pooled = Database(DatabaseSettings(url=url))
        for _ in range(2):
            built: list[bool] = []
            threads = [
                threading.Thread(target=lambda b=built: b.append(index.build(pooled, embedding, IndexSettings())))
                for _ in range(2)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(built) == [False, True]
            assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", True)]
            conn.execute("drop index doc_embedding_hnsw")


def test_after_the_maximum_wait(any_database: Database, conn: Connection) -> None:
    """A queue that never empties does not keep a store without index for ever."""
    embedding = filled(conn)
    conn.execute("update doc set title = 'x' where id = 1")

    assert not index.build(any_database, embedding, IndexSettings(max_wait=60))
    conn.execute("update pgpipe.embedding set created_at = now() - interval '61 seconds'")
    assert index.build(any_database, embedding, IndexSettings(max_wait=60))


def test_inverted_lists(any_database: Database, conn: Connection) -> None:
    """IVFFlat where the settings say so, with lists by the number of rows; the search uses it and finds its rows."""
    embedding = filled(conn)

    assert index.build(any_database, embedding, IndexSettings(kind="ivfflat"))

    assert conn.execute(INDEXES).fetchall() == [("doc_embedding_ivfflat", True)]
    assert value(conn, "select reloptions::text from pg_class where relname = 'doc_embedding_ivfflat'") == "{lists=5}"
    assert not index.build(any_database, embedding, IndexSettings())
    conn.execute("set enable_seqscan = off")
    near = vector_of(conn, 77)
    plan = column(conn, f"explain select id from doc_embedding s order by s.vector <=> '{near}' limit 40")
    assert "Index Scan using doc_embedding_ivfflat" in "\n".join(plan)
    found = column(conn, "select (key ->> 'id')::int from pgpipe.vector_search('doc', %s, 10)", near)
    assert found[0] == 77
    assert len(found) == 10


def test_inverted_lists_find_what_a_scan_finds(any_database: Database, conn: Connection) -> None:
    """Where every list is read, each question has the answers that it had before there was an index, in their order."""
    embedding = filled(conn)
    search = "select (key ->> 'id')::int, score from pgpipe.vector_search('doc', %s, 20)"
    questions = [vector_of(conn, id_) for id_ in range(1, 5000, 250)]
    scanned = [conn.execute(search, (q,)).fetchall() for q in questions]
    index.build(any_database, embedding, IndexSettings(kind="ivfflat"))
    conn.execute("set enable_seqscan = off")

    assert [conn.execute(search, (q,)).fetchall() for q in questions] == scanned


@pytest.mark.parametrize(("rows", "lists", "probes"), [(5000, 5, 10), (1_000_000, 1000, 32), (9_000_000, 3000, 55)])
def test_lists_and_probes(conn: Connection, rows: int, lists: int, probes: int) -> None:
    """A list for each thousand rows, beyond a million their square root; of the lists their root is read."""
    filled(conn, 10)
    conn.execute("""
        create function note(int) returns int language plpgsql as $$
        begin raise notice '%', current_setting('ivfflat.probes'); return $1; end $$""")
    conn.execute("""
        create view noting as
        select id, chunk, char_start, public.note(char_end) as char_end, content_hash, vector from doc_embedding""")
    question = vector_of(conn, 7)
    conn.execute("update pgpipe.embedding set store = 'noting'")
    conn.execute("update pg_class set reltuples = %s where oid = 'noting'::regclass", (rows,))
    noted: list[str | None] = []
    conn.add_notice_handler(lambda notice: noted.append(notice.message_primary))

    conn.execute("select pgpipe.rank_vector('doc', %s, 3)", (question,))

    assert value(conn, "select pgpipe.inverted_lists(%s)", rows) == lists
    assert set(noted) == {str(probes)}


def test_no_index_at_all(any_database: Database, conn: Connection) -> None:
    """Where the settings say so."""
    assert not index.build(any_database, filled(conn), IndexSettings(kind="none"))


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_the_memory_estimate(conn: Connection, share: float) -> None:
    """With as much memory as is estimated the whole graph is built in memory; with half of it PostgreSQL complains."""
    embedding = filled(conn, dims=128)
    asked = (embedding.embedding_id,)
    row = conn.execute("select memory, statement from pgpipe.vector_index(%s)", asked).fetchone()
    assert row
    notices: list[str] = []
    conn.add_notice_handler(lambda d: notices.append(d.message_primary or ""))
    conn.execute("select set_config('maintenance_work_mem', %s, false)", (f"{int(row[0] * share) >> 10}kB",))

    conn.execute(row[1].encode())

    assert any("no longer fits into maintenance_work_mem" in n for n in notices) is (share < 1)


def test_memory_within_the_limit(any_database: Database, conn: Connection, logged: list[dict]) -> None:
    """The build's session gets what it needs up to the limit; more is asked for in the log."""
    embedding = filled(conn)
    given: list[int] = []
    real = index._run

    def look(watch: Connection, builder: Connection, *rest: object) -> None:
        given.append(value(builder, "select pg_size_bytes(current_setting('maintenance_work_mem')) >> 20"))
        real(watch, builder, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "_run", look)
        for limit, setting in ((2, "1MB"), (1000, "1MB"), (1, "64MB")):
            conn.execute("drop index if exists doc_embedding_hnsw")
            name = value(conn, "select quote_ident(current_database())")
            conn.execute(f"alter database {name} set maintenance_work_mem = '{setting}'")
            assert index.build(any_database, embedding, IndexSettings(memory_mb=limit))

    needed = 5000 * (8 * 4 + 720) // 2**20 + 4 + 1
    assert given == [2, needed, 64]
    warnings = [e for e in logged if e["level"] == "WARNING"]
    assert [(w["needed_mb"], w["given_mb"]) for w in warnings] == [(needed, 2)]
    assert "embedding.index.memory_mb" in warnings[0]["event"]


def held_build(conn: Connection, other: Connection) -> Embedding:
    """A store whose build waits for a writer, until `other` rolls back; then it takes some seconds."""
    embedding = filled(conn, rows=12000, dims=384)
    other.execute("begin")
    other.execute("lock table doc_embedding in row exclusive mode")
    return embedding


def test_progress_and_stop(
    any_database: Database, conn: Connection, other: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build's phase can be seen, also in `pgpipe status`; told to stop, it ends and leaves nothing."""
    embedding = held_build(conn, other)
    stop = threading.Event()
    seen: list[str] = []
    shown: list[str] = []
    cli = make_cli(any_database.url, tmp_path, monkeypatch)

    def progress(phase: str, _percent: float | None) -> None:
        if not phase.startswith("waiting for writers"):  # it has only begun
            return
        seen.append(phase)
        assert value(conn, "select entity from pgpipe.index_progress") == "doc"
        shown.append(cli("status").out + cli("status", "--json").out)
        stop.set()
        other.execute("rollback")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "WATCH", 0.05)
        assert not index.build(any_database, embedding, IndexSettings(), stop, progress)

    assert seen == ["waiting for writers before build"]
    assert "Vector indexes being built" in shown[0]
    assert f'"phase": "{seen[0]}"' in shown[0]
    assert conn.execute(INDEXES).fetchall() == []
    conn.execute("delete from doc where id > 5000")
    eventually(lambda: index.build(any_database, embedding, IndexSettings(min_rows=1000)))  # once the other has let go


def test_a_build_that_the_server_ends(any_database: Database, conn: Connection, other: Connection) -> None:
    """Cancelled by somebody: an error of one line, nothing left behind, and the next look builds."""
    embedding = held_build(conn, other)

    def cancel(_phase: str, _percent: float | None) -> None:
        conn.execute("select pg_cancel_backend(pid) from pgpipe.index_progress")
        other.execute("rollback")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "WATCH", 0.05)
        with pytest.raises(errors.DatabaseError, match="canceling statement"):
            index.build(any_database, embedding, IndexSettings(), progress=cancel)

    assert conn.execute(INDEXES).fetchall() == []


def test_the_indexer_looks_beside_the_worker(any_database: Database, conn: Connection, logged: list[dict]) -> None:
    """The thread builds what is due, outlives a failure, and ends when told."""
    filled(conn)
    stop = threading.Event()
    indexer = index.Indexer(any_database, IndexSettings(), stop)
    refuse = "create table public.doc_embedding_hnsw ()"  # takes the name
    conn.execute(refuse)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "LOOK", 0.05)
        indexer.start()
        until = time.monotonic() + 300
        while not any(e["event"] == "vector index not built" for e in logged) and time.monotonic() < until:
            time.sleep(0.02)
        conn.execute("drop table public.doc_embedding_hnsw")
        while conn.execute(INDEXES).fetchall() != [("doc_embedding_hnsw", True)] and time.monotonic() < until:
            time.sleep(0.05)
        stop.set()
        indexer.join()

    assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", True)]


@pytest.mark.parametrize(("dims", "indexed"), [(2001, True), (4000, True), (4001, False)])
def test_as_many_dimensions_as_the_index_takes(conn: Connection, dims: int, indexed: bool) -> None:
    """Halfvec up to 4000 dimensions; beyond that an exact scan answers, and no build is tried."""
    embedding = filled(conn, rows=20, dims=dims)

    asked = (embedding.embedding_id,)
    answer = conn.execute("select rows, statement from pgpipe.vector_index(%s, min_rows => 10)", asked).fetchone()
    rows, statement = answer or (None, None)

    assert (statement is not None) is indexed
    if indexed:
        assert rows == 20
        conn.execute(statement.encode())
        assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw", True)]
    assert value(conn, "select key ->> 'id' from pgpipe.vector_search('doc', %s, 1)", vector_of(conn, 7)) == "7"
