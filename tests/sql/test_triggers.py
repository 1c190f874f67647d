"""Which statements ask for a fresh vector, and which do not."""

import pytest

from pgpipe.db import Connection, Database
from tests.conftest import also_on_16
from tests.schema.attack import plain_role
from tests.sql.fake_model import Fake, make_worker
from tests.sql.support import (
    claim,
    column,
    drain,
    embed,
    embed_quietly,
    embedded_docs,
    finish,
    job,
    jobs,
    make_docs,
    stored,
    value,
)


def test_declaring_enqueues_every_row(conn: Connection) -> None:
    """Rows that were there before the embedding get their job with it; declaring it again adds none."""
    make_docs(conn, 3)

    embedding = embed(conn)

    assert jobs(conn, embedding) == {'{"id": 1}': 1, '{"id": 2}': 1, '{"id": 3}': 1}
    assert embed(conn) == embedding
    assert set(jobs(conn, embedding).values()) == {1}


def test_insert_makes_a_job(conn: Connection) -> None:
    """A row that plain SQL inserts is enqueued, and ready."""
    embedding = embedded_docs(conn)

    conn.execute("insert into doc values (9, 'new', 'row', 0)")

    assert jobs(conn, embedding) == {'{"id": 9}': 1}
    assert job(conn, embedding, '{"id": 9}')["ready"]


@pytest.mark.parametrize(
    ("change", "enqueued"),
    [
        ("title = 'other'", True),
        ("body = null", True),
        ("title = 'other', size = 7", True),
        ("size = 7", False),
        ("title = title", False),
        ("title = 'title 1', body = 'body 1'", False),
    ],
)
def test_only_a_changed_input_column_makes_a_job(conn: Connection, change: str, enqueued: bool) -> None:
    """A job for a change that the model would read; none for other columns, none for the value that was there."""
    embedding = embedded_docs(conn)

    conn.execute(f"update doc set {change} where id = 1")

    assert jobs(conn, embedding) == ({'{"id": 1}': 1} if enqueued else {})


def test_null_to_null_is_no_change(conn: Connection) -> None:
    """NULL stays NULL: no job. NULL becomes a text: a job."""
    make_docs(conn)
    conn.execute("insert into doc values (1, null, null, 0)")
    embedding = embed_quietly(conn)

    conn.execute("update doc set title = null, size = 1")
    assert jobs(conn, embedding) == {}

    conn.execute("update doc set title = ''")
    assert jobs(conn, embedding) == {'{"id": 1}': 1}


@also_on_16
def test_key_change_is_one_job_and_the_vector_follows(conn: Connection) -> None:
    """Both keys get a job: the old one loses its vector, which the new one has got, and no model is needed."""
    embedding = embedded_docs(conn)
    conn.execute("update doc set title = 'other' where id = 1")

    conn.execute("update doc set id = 100, title = 'title 1' where id = 1")

    assert jobs(conn, embedding) == {'{"id": 1}': 2, '{"id": 100}': 1}
    held = claim(conn, embedding)
    assert {j[0]: (j[3] is None, j[6]) for j in held.jobs} == {'{"id": 1}': (True, False), '{"id": 100}': (False, True)}
    assert finish(conn, held) == (2, 0)
    assert stored(conn) == [2, 3, 100]


def test_rows_may_change_places(conn: Connection) -> None:
    """Keys that move onto one another in one statement: each key that went, came or has another text has one job."""
    conn.execute("create table doc (id int primary key deferrable, title text, body text)")
    conn.execute("insert into doc select n, 't' || n, 'b' || n from generate_series(1, 3) n")
    embedding = embed_quietly(conn)

    conn.execute("update doc set id = case id when 3 then 4 else 3 - id end")

    assert sorted(jobs(conn, embedding)) == [f'{{"id": {key}}}' for key in (1, 2, 3, 4)]


def test_delete_takes_the_vectors(conn: Connection) -> None:
    """V6: a deleted row is a job, which takes its vectors away."""
    embedding = embedded_docs(conn)
    conn.execute("update doc set title = 'other' where id in (1, 2)")

    conn.execute("delete from doc where id in (1, 3)")

    assert jobs(conn, embedding) == {'{"id": 1}': 2, '{"id": 2}': 1, '{"id": 3}': 1}
    drain(conn, embedding)
    assert stored(conn) == [2]


def test_delete_and_insert_again(conn: Connection) -> None:
    """A row that comes back under its key is a changed row: one job, and then its own vector."""
    embedding = embedded_docs(conn)

    with conn.transaction():
        conn.execute("delete from doc where id = 1")
        conn.execute("insert into doc values (1, 'again', 'here', 0)")

    assert jobs(conn, embedding) == {'{"id": 1}': 2}
    drain(conn, embedding, "[0,1,0]")
    assert value(conn, "select vector = '[0,1,0]' from doc_embedding where id = 1")
    assert stored(conn) == [1, 2, 3]


def test_a_row_moved_within_one_statement(conn: Connection) -> None:
    """DELETE … RETURNING into INSERT leaves the job of the row that came."""
    embedding = embedded_docs(conn)

    conn.execute("with gone as (delete from doc where id = 1 returning *) insert into doc select * from gone")

    assert jobs(conn, embedding) == {'{"id": 1}': 2}


@also_on_16
def test_truncate(any_database: Database, conn: Connection) -> None:
    """V6: TRUNCATE by a role with no right but this one works; the next drain clears the vectors away."""
    embedding = embedded_docs(conn)
    conn.execute("update doc set title = 'other'")
    with plain_role(any_database, "truncate on doc") as own:
        own.execute("truncate doc")

    assert jobs(conn, embedding) == {}
    coverage, reason = conn.execute("select coverage, reason from pgpipe.embedding_status").fetchone() or (0, "")
    assert coverage is None
    assert "was truncated" in reason
    make_worker(any_database, Fake()).drain()
    assert stored(conn) == []
    assert value(conn, "select reason from pgpipe.embedding_status") is None


def test_thousands_of_rows_in_one_statement(conn: Connection) -> None:
    """A bulk insert, update and delete each enqueue exactly their rows."""
    make_docs(conn)
    embedding = embed_quietly(conn)

    conn.execute("insert into doc select n, 't' || n, 'b' || n, n from generate_series(1, 5000) n")
    assert len(jobs(conn, embedding)) == 5000

    conn.execute("delete from pgpipe.job")
    conn.execute("update doc set title = case when id %% 2 = 0 then 'even' else title end, size = 0".replace("%%", "%"))
    assert len(jobs(conn, embedding)) == 2500

    conn.execute("delete from doc where id > 1000")
    assert len(jobs(conn, embedding)) == 4500


LARGE = "insert into doc (id, title, body, size) select n, 't' || n, 'b', n from generate_series(10, 10011) n"


@pytest.mark.parametrize(
    "change", ["select 1", "alter table doc rename id to number", "alter table doc drop constraint doc_pkey"]
)
def test_ten_thousand_new_rows(database: Database, change: str) -> None:
    """V3: a large insert succeeds, and enqueues each row, also one that has a job; or a note says that it could not."""
    with database.connect(autocommit=True) as conn:
        embedding = embedded_docs(conn, 10)
        conn.execute("delete from doc where id = 10")
        conn.execute(change.encode())

        conn.execute(LARGE.replace("(id", "(number" if "rename" in change else "(id").encode())

        found = jobs(conn, embedding)
        if change == "select 1":
            assert len(found) == 10_002
            assert (found['{"id": 10}'], found['{"id": 11}']) == (2, 1)
        else:
            assert found == {'{"id": 10}': 1}
            assert column(conn, "select sqlstate from pgpipe.missed")


@pytest.mark.parametrize("has_job", [False, True])
def test_a_large_insert_with_a_row_that_cannot_be_read(database: Database, has_job: bool) -> None:
    """V3: a large insert succeeds and is noted if a row's condition fails, also if another row has a job."""
    with database.connect(autocommit=True) as conn:
        make_docs(conn)
        embedding = embed_quietly(conn, condition="100 / size > 0")
        if has_job:
            conn.execute("insert into doc values (10, 't', 'b', 1); alter table doc disable trigger all")
            conn.execute("delete from doc where id = 10; alter table doc enable trigger all")

        conn.execute(
            "insert into doc select n, 't', 'b', case n when 15000 then 0 else 1 end from generate_series(10, 20009) n"
        )

        assert value(conn, "select count(*) from doc where id >= 10") == 20_000
        assert column(conn, "select sqlstate from pgpipe.missed") == ["22012"]
        assert jobs(conn, embedding) == ({'{"id": 10}': 1} if has_job else {})


@also_on_16
def test_insert_on_conflict_update(conn: Connection) -> None:
    """An upsert enqueues the rows that came and those whose input changed, not those it wrote unchanged."""
    embedding = embedded_docs(conn)

    conn.execute("""
        insert into doc values (1, 'other', 'body 1', 1), (2, 'title 2', 'body 2', 99), (8, 'new', 'row', 8)
        on conflict (id) do update set title = excluded.title, body = excluded.body, size = excluded.size
    """)

    assert jobs(conn, embedding) == {'{"id": 1}': 1, '{"id": 8}': 1}


@also_on_16
def test_merge_statement(conn: Connection) -> None:
    """MERGE fires each event's trigger: changed, new and deleted rows are each seen."""
    embedding = embedded_docs(conn)
    conn.execute("update doc set title = 'pending' where id = 3")

    conn.execute("""
        merge into doc t using (values (1, 'other'), (3, null), (8, 'new')) s (id, title) on t.id = s.id
         when matched and s.title is null then delete
         when matched then update set title = s.title
         when not matched then insert (id, title) values (s.id, s.title)
    """)

    assert jobs(conn, embedding) == {'{"id": 1}': 1, '{"id": 3}': 2, '{"id": 8}': 1}


def test_a_rolled_back_change_asks_for_nothing(conn: Connection) -> None:
    """Row and job commit together or not at all."""
    embedding = embedded_docs(conn)

    with conn.transaction(force_rollback=True):
        conn.execute("update doc set title = 'other'")
        assert len(jobs(conn, embedding)) == 3

    assert jobs(conn, embedding) == {}


def test_two_embeddings_of_one_table(conn: Connection) -> None:
    """Each is asked only for changes of its own columns; dropping one leaves the other at work."""
    make_docs(conn, 2)
    titles = embed_quietly(conn, columns=["title"], name="titles")
    bodies = embed_quietly(conn, columns=["body"], name="bodies")

    conn.execute("update doc set title = 'other' where id = 1")
    conn.execute("update doc set body = 'other' where id = 2")
    conn.execute("update doc set title = 'both', body = 'both' where id = 2")

    assert jobs(conn, titles) == {'{"id": 1}': 1, '{"id": 2}': 1}
    assert jobs(conn, bodies) == {'{"id": 2}': 2}

    conn.execute("select pgpipe.disable_embedding('doc', 'titles')")
    conn.execute("insert into doc values (3, 'c', 'c', 0)")
    assert value(conn, "select count(*) from pgpipe.job where key = '{\"id\": 3}'") == 1
    assert value(conn, "select to_regclass('doc_embedding_titles')") is None
    assert drain(conn, bodies) == 2
