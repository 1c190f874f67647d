"""Claim, finish and reconcile are rendered for a table: they compose nothing, and follow the table when it changes."""

import re
from datetime import timedelta

import numpy as np
import pytest
from pgvector.psycopg import register_vector

from pgpipe import errors
from pgpipe.db import Connection, Database
from pgpipe.embed import queue
from tests.conftest import also_on_16
from tests.sql.fake_model import Fake, make_worker
from tests.sql.support import (
    claim,
    column,
    drain,
    embed,
    embedded_docs,
    finish,
    job,
    jobs,
    make_docs,
    outcomes_of,
    sqlstate,
    stored,
    value,
    waiting_docs,
)

SOURCES = """
    select pronamespace::regnamespace || '.' || proname, prosrc from pg_proc
     where pronamespace::regnamespace::text in ('pgpipe', 'pgpipe_internal', 'pgpipe_target')
"""
STATUS = "select reason from pgpipe.embedding_status where entity = %s"
SWAP = (
    "alter table doc rename to before; create table doc (like before including all); insert into doc select id, 'wrong'"
)
ERRORS = "select last_error from pgpipe.job where last_error is not null order by key"


def test_nothing_is_composed(conn: Connection) -> None:
    """Triggers, claim, acknowledge, finish, and all that they call: no statement is put together when it runs."""
    embedded_docs(conn)
    sources = dict(conn.execute(SOURCES).fetchall())
    seen = {name for name in sources if name.startswith("pgpipe_target.")}
    todo = list(seen)
    while todo:
        for called in re.findall(r"pgpipe(?:_internal|_target)?\.\w+", sources[todo.pop()]):
            if called in sources and called not in seen:
                seen.add(called)
                todo.append(called)

    assert {"pgpipe_target.claim_1", "pgpipe_internal.lease_jobs", "pgpipe_internal.acknowledge_jobs"} <= seen
    assert [name for name in seen if re.search(r"\bexecute\b", re.sub(r"--.*", "", sources[name]), re.IGNORECASE)] == []


def test_each_outcome(conn: Connection, other: Connection) -> None:
    """A finish says of each job what became of it."""
    embedding = waiting_docs(conn, 6)
    conn.execute("update pgpipe.job set visible_at = now() - key['id']::int * interval '1 second'")
    held = claim(conn, embedding)
    assert [j[0] for j in held.jobs] == [f'{{"id": {n}}}' for n in range(6, 0, -1)]
    conn.execute("delete from pgpipe.job where key = '{\"id\": 2}'")  # as if another had finished it
    conn.execute("alter table doc disable trigger user")
    conn.execute("delete from doc where id = 3")
    conn.execute("alter table doc enable trigger user")
    conn.execute("update doc set body = 'other' where id = 4")
    with other.transaction():
        other.execute("select from pgpipe.job where key = '{\"id\": 5}' for update")

        assert outcomes_of(conn, held) == ["done", "locked", "changed", "gone", "stale", "done"]

    assert stored(conn) == [1, 6]
    assert jobs(conn, embedding).keys() == {'{"id": 4}', '{"id": 5}'}


@pytest.mark.parametrize(
    "change",
    [
        "alter table doc rename to texts",
        "create schema elsewhere; alter table doc set schema elsewhere",
        "alter table doc_embedding rename to vectors",
        "alter table doc alter id type bigint",
        "alter table doc rename title to t; alter table doc rename body to title; alter table doc rename t to body",
        "drop function pgpipe_target.claim_1, pgpipe_target.finish_1",
    ],
)
def test_the_worker_follows_a_changed_table(any_database: Database, conn: Connection, change: str) -> None:
    """A name or type that changed is rendered by the worker that meets it, before claim and before finish."""
    waiting_docs(conn, 4)
    with any_database.connect(autocommit=True) as own:
        register_vector(own)
        embedding = queue.embeddings(own)[0]
        held = queue.claim(own, embedding, 2, "w", timedelta(seconds=60))
        conn.execute(change.encode())
        chunks = [queue.Chunk(n, 0, 0, 1) for n in range(2)]

        finished = queue.finish(own, held, "w", chunks, np.ones((2, 3), np.float32))

    store = value(conn, "select store::text from pgpipe.embedding")
    same = "title to t" not in change  # else the text is another
    assert (finished.jobs, finished.stale, finished.locked) == (2, 0, [])
    assert len(stored(conn, store)) == (2 if same else 0)
    make_worker(any_database, Fake()).drain()
    assert stored(conn, store) == [1, 2, 3, 4]


def test_keys_that_look_like_a_composite(any_database: Database, conn: Connection) -> None:
    """A key travels as it is, whatever characters it has; a row without text has no hash."""
    keys = ['a"b', "a\\b", "(1,2)", "{},", ",", "'", "", " ", "é\n"]
    conn.execute("create table odd (id text primary key, text text)")
    for key in keys:
        conn.execute("insert into odd values (%s, 'okapi ' || %s), (%s, null)", (key, key, f"{key} none"))
    embed(conn, "odd", ["text"])

    make_worker(any_database, Fake()).drain()

    assert sorted(stored(conn, "odd_embedding")) == sorted(keys)
    assert value(conn, "select count(*) from pgpipe.job") == 0


def test_another_table_by_the_name_is_not_read(conn: Connection) -> None:
    """Tables that swap names: a claim reads the table that was declared, or none."""
    embedding = waiting_docs(conn, 2)
    conn.execute(f"{SWAP}, body, size from before".encode())

    assert sqlstate(conn, f"select pgpipe_target.claim_{embedding}(5, 'w', gen_random_uuid())") == "PP021"
    assert jobs(conn, embedding).keys() == {'{"id": 1}', '{"id": 2}'}
    conn.execute("select pgpipe_internal.render_queue(%s)", (embedding,))
    assert {j[3] for j in claim(conn, embedding).jobs} == {"title 1\nbody 1", "title 2\nbody 2"}


def test_a_missing_column_rests_one_embedding(any_database: Database, conn: Connection) -> None:
    """One clear error; the other embeddings are served, and status says which column is missing."""
    waiting_docs(conn, 2)
    conn.execute("create table note (id int primary key, text text); insert into note values (1, 'a'), (2, 'b')")
    embed(conn, "note", ["text"])
    conn.execute("alter table doc rename body to text")
    troubles: list[str] = []
    with any_database.connect(autocommit=True) as own:
        for embedding in queue.embeddings(own):
            try:
                queue.claim(own, embedding, 10, "w", timedelta(seconds=60))
            except errors.DatabaseError as exc:
                troubles.append(str(exc))

    (trouble,) = troubles
    assert trouble.startswith('public.doc has no column body, which its embedding "default" needs.')
    assert value(conn, "select count(*) from pgpipe.job where lease_token is not null") == 2
    assert "has no column body" in value(conn, STATUS, "doc")


def test_a_column_of_a_condition_that_is_renamed(any_database: Database, conn: Connection) -> None:
    """Issue 12: the message names table, column, condition and embedding; the others are served."""
    waiting_docs(conn, 2)
    embed(conn, name="few", condition="size > 1 and length(title) > 2")
    conn.execute("alter table doc rename size to extent; update doc set extent = 5")

    with pytest.raises(errors.DatabaseError) as met:
        make_worker(any_database, Fake()).drain()

    condition = "'((size > 1) AND (length(title) > 2))'"
    said = f"public.doc has no column size, which the condition {condition} of its embedding few needs. Rename"
    assert str(met.value).startswith(said)
    assert stored(conn) == [1, 2]
    reasons = column(conn, "select reason from pgpipe.embedding_status order by name")
    assert f"public.doc has no column size, which its condition {condition} names" in reasons[1]
    conn.execute("alter table doc rename extent to size")
    make_worker(any_database, Fake()).drain()
    assert stored(conn, "doc_embedding_few") == [1, 2]


BAD = (
    "set session_replication_role = replica; insert into doc values (%s, '%s', 'b', 0); reset session_replication_role"
)


def with_bad_rows(conn: Connection, *ids: int, rows: int = 4) -> int:
    """Docs whose condition fails for some rows, which no trigger saw."""
    make_docs(conn, rows)
    embedding = embed(conn, condition="case when size = 0 then title::int > 0 else true end")
    for number in ids:
        conn.execute((BAD % (number, f"secret {number}")).encode())
        conn.execute(
            "insert into pgpipe.job (embedding_id, key) values (%s, jsonb_build_object('id', %s::int))",
            (embedding, number),
        )
    return embedding


@also_on_16
def test_a_row_whose_text_cannot_be_computed(any_database: Database, conn: Connection) -> None:
    """One row's trouble never stops another's: it alone is charged until it is dead; the reason quotes no value."""
    embedding = with_bad_rows(conn, 50, 51)
    held = claim(conn, embedding)

    assert held.ids == {1, 2, 3, 4}
    assert finish(conn, held) == (4, 0)
    assert column(conn, ERRORS) == ["its text cannot be computed: invalid input syntax for type integer: ..."] * 2
    assert job(conn, embedding, '{"id": 50}')["attempts"] == 1
    for _ in range(4):
        conn.execute("update pgpipe.job set visible_at = now() where dead_at is null")
        assert claim(conn, embedding).jobs == []
    assert value(conn, "select bool_and(dead_at is not null) from pgpipe.job")
    assert make_worker(any_database, Fake()).drain().embedded == {}


@also_on_16
def test_many_such_rows_hide_no_other(conn: Connection) -> None:
    """A batch of nothing but such rows is not the end of the queue: the claim goes on to the next."""
    embedding = with_bad_rows(conn, *range(50, 60))
    conn.execute("update pgpipe.job set visible_at = now() - interval '1 hour' where (key ->> 'id')::int >= 50")

    assert claim(conn, embedding, 5).ids <= {1, 2, 3, 4}
    assert value(conn, "select count(*) from pgpipe.job where last_error is not null") == 10


@also_on_16
def test_a_sweep_passes_such_a_row(conn: Connection) -> None:
    """A reconcile compares the rows around it, and leaves it to its job, which says what is wrong."""
    embedding = with_bad_rows(conn, 50, rows=30)
    drain(conn, embedding)
    conn.execute("delete from pgpipe.job")
    conn.execute("alter table doc disable trigger user; update doc set body = 'unseen' where id = 28")
    conn.execute("alter table doc enable trigger user")

    while not value(conn, "select finished from pgpipe_internal.reconcile_rows(%s, 20)", embedding):
        pass

    assert jobs(conn, embedding).keys() == {'{"id": 50}', '{"id": 28}'}


@also_on_16
def test_plans_of_an_empty_queue_do_not_stay(conn: Connection) -> None:
    """After 20 claims of an empty queue, a claim of a full one still reads what it takes, by the index."""
    make_docs(conn, 1)
    embedding = embed(conn)
    for _ in range(20):
        drain(conn, embedding)
    many = """
        insert into pgpipe.job (embedding_id, key)
        select %s, jsonb_build_object('id', n) from generate_series(1, %s) n
    """
    conn.execute(many, (embedding, 100_000))
    reads = """
        select sum(seq_scan), sum(idx_tup_fetch) filter (where relname = 'job')
          from pg_stat_xact_user_tables where relname in ('job', 'doc', 'doc_embedding')
    """
    for _ in range(8):
        conn.execute("select pg_stat_force_next_flush()")
        with conn.transaction():
            held = claim(conn, embedding, 256)
            assert finish(conn, held) == (256, 0)
            scans, rows = conn.execute(reads).fetchone() or (1, 0)
        assert scans == 0
        assert rows <= 6 * 256
