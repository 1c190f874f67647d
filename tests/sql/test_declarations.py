"""What an embedding is of: templates, conditions, keys of any type, equal texts; two of one target, pause."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pgpipe.db import Connection, Database
from tests.conftest import also_on_16
from tests.sql.fake_model import Fake, make_worker
from tests.sql.support import (
    claim,
    column,
    drain,
    embed,
    embed_quietly,
    embedded_docs,
    eventually,
    expire,
    finish,
    job,
    jobs,
    make_docs,
    sqlstate,
    stored,
    value,
    waiting_docs,
)

SWITCH = "select pgpipe.switch_embedding('doc', %s)"
WAITS = "select exists (select from pg_locks where not granted and pid = %s)"
ACTIVE = "select name from pgpipe.embedding where active"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{title}: {body}", "a: b"),
        ("{{{title}}}", "{a}"),
        ("{{title}} {body}", "{title} b"),
        ("{od{{d}}}/{title}", "x/a"),
        ("  {title}\n\n{body}  ", "a\n\nb"),
        ("it's {title} 100% \\ {body}", "it's a 100% \\ b"),
    ],
)
def test_templates(conn: Connection, template: str, text: str) -> None:
    """{column} is its text, {{ and }} are braces, a column's own braces are doubled, everything else is itself."""
    conn.execute('create table doc (id int primary key, title text, body text, "od{d}" text)')
    conn.execute("insert into doc values (1, 'a', 'b', 'x')")
    embedding = embed(conn, columns=["title", "body", "od{d}"], template=template)

    assert [j[3] for j in claim(conn, embedding).jobs] == [text]


def test_columns_with_braces_by_default(conn: Connection) -> None:
    """Without a template any column name is taken as it is, also one with braces or a line break in it."""
    conn.execute('create table doc (id int primary key, "{a}" text, "b\n}c" text)')
    conn.execute("insert into doc values (1, 'one', 'two')")
    embedding = embed(conn, columns=["{a}", "b\n}c"])

    assert [j[3] for j in claim(conn, embedding).jobs] == ["one\ntwo"]


@pytest.mark.parametrize("template", ["{title", "title}", "{nothing}", "{title} {", "only text", "{{title}}"])
def test_bad_templates(conn: Connection, template: str) -> None:
    """A single brace, an unknown column, no column at all: refused when it is declared."""
    make_docs(conn)

    assert sqlstate(conn, "select pgpipe.enable_embedding('doc', '{title}', 'fake', 3, %s)", template) == "PP003"


def test_rows_enter_and_leave_the_condition(conn: Connection) -> None:
    """Only rows for which the condition holds have vectors: one that leaves loses them, one that enters gets them."""
    make_docs(conn, 4)
    embedding = embed(conn, condition="size > 2 and title is not null")
    assert drain(conn, embedding) == 2
    assert stored(conn) == [3, 4]

    conn.execute("update doc set body = 'changed' where id = 1")  # outside before and after
    conn.execute("insert into doc values (5, 'five', '', 0)")
    assert jobs(conn, embedding) == {}
    conn.execute("update doc set size = 9 where id in (1, 4)")  # one enters; the other stays, its text too
    conn.execute("update doc set size = 0 where id = 3")
    assert set(jobs(conn, embedding)) == {'{"id": 1}', '{"id": 3}'}
    drain(conn, embedding)

    assert stored(conn) == [1, 4]


@pytest.mark.parametrize(
    "condition",
    [
        "size",
        "nothing > 1",
        "size > (select 1)",
        "count(*) > 1",
        "true); drop table doc; --",
        "size > 1) or (select true",
        "true; drop table doc",
    ],
)
def test_bad_conditions(conn: Connection, condition: str) -> None:
    """What could not stand in a check constraint of the table is refused, and nothing of it is run."""
    make_docs(conn, 1)
    call = "select pgpipe.enable_embedding('doc', '{title}', 'fake', 3, condition => %s)"

    assert sqlstate(conn, call, condition) == "PP003"
    assert column(conn, "select id from doc") == [1]


def test_a_deadlock_is_not_the_fault_of_a_condition(conn: Connection, other: Connection) -> None:
    """Only what is wrong with a condition is PP003: a deadlock or a lock timeout while it is checked stays one."""
    make_docs(conn)
    conn.execute("create table also (id int)")
    check = "select pgpipe_internal.checked_condition('doc', 'size > 1')"
    with ThreadPoolExecutor(1) as pool, other.transaction(force_rollback=True):
        other.execute("set deadlock_timeout = '10min'; lock table doc in access exclusive mode")
        conn.execute("set lock_timeout = '50ms'")
        assert sqlstate(conn, check) == "55P03"
        conn.execute("set lock_timeout = 0; set deadlock_timeout = '50ms'; begin; lock table also")
        blocked = pool.submit(other.execute, "lock table also")
        eventually(lambda: value(conn, WAITS, other.info.backend_pid))
        assert sqlstate(conn, check) == "40P01"
        conn.execute("rollback")
        blocked.result()


def test_a_condition_written_otherwise_is_the_same(conn: Connection) -> None:
    """The condition is kept as PostgreSQL reads it: declaring it again, spelled otherwise, changes nothing."""
    make_docs(conn, 1)

    assert embed(conn, condition="size>2") == embed(conn, condition="( size  >  2 )")


@also_on_16
@pytest.mark.parametrize(
    ("type_", "keys"),
    [
        ("int[]", ["{1,2}", "{}", "{{1,2},{3,4}}", "{NULL}"]),
        ("text[]", ['{a,"b,c"}', '{"quo\\"te","back\\\\slash","{brace}",NULL,"NULL"}']),
        ("timestamptz[]", ["{2026-11-23 12:00:00.123456+00}"]),
    ],
)
def test_array_keys(conn: Connection, type_: str, keys: list[str]) -> None:
    """Arrays of any depth identify a row: each is embedded, changed and deleted under its own key."""
    conn.execute(f"create table doc (id {type_} primary key, title text)")
    for key in keys:
        conn.execute("insert into doc values (%s, 'title')", (key,))
    embedding = embed(conn, columns=["title"])

    assert drain(conn, embedding) == len(keys)

    assert value(conn, "select count(*) from doc join doc_embedding using (id)") == len(keys)
    conn.execute("update doc set title = 'other'")
    assert drain(conn, embedding, "[0,1,0]") == len(keys)
    assert value(conn, "select count(*) from doc_embedding where vector::text = '[0,1,0]'") == len(keys)


def test_equal_texts_are_read_once(any_database: Database, conn: Connection) -> None:
    """A text that the store has, or that occurs twice in a batch, costs the model nothing; its vectors are the same."""
    make_docs(conn, 2)
    embed(conn)
    make_worker(any_database, Fake(room=3)).drain()
    conn.execute("insert into doc select n, 'title 1', 'body 1', n from generate_series(3, 5) n")
    conn.execute("insert into doc select n, 'new', null, n from generate_series(6, 8) n")
    model = Fake(room=3)

    worker = make_worker(any_database, model)
    worker.drain()

    assert [t for call in model.calls for t in call] == ["new"]
    assert worker.totals.copied == 5
    same = "select array_agg(array[char_start::text, vector::text] order by chunk) from doc_embedding where id = %s"
    assert value(conn, same, 4) == value(conn, same, 1)
    assert value(conn, "select count(distinct id) from doc_embedding") == 8


@also_on_16
def test_a_twin_that_goes_meanwhile(conn: Connection) -> None:
    """The vectors to copy are gone at the finish: the row is given back, and the model reads it."""
    embedding = embedded_docs(conn, 1)
    conn.execute("insert into doc values (2, 'title 1', 'body 1', 0)")
    held = claim(conn, embedding)
    assert [j[6] for j in held.jobs] == [True]
    conn.execute("delete from doc_embedding where id = 1")

    assert finish(conn, held) == (1, 0)

    assert stored(conn) == []
    again = claim(conn, embedding)
    assert [(j[0], j[6]) for j in again.jobs] == [('{"id": 2}', False)]


def test_a_twin_of_its_own_batch(conn: Connection) -> None:
    """The row whose vectors are copied changes or goes in the same batch: the copy is of what they were."""
    embedding = embedded_docs(conn, 2)
    conn.execute("insert into doc values (3, 'title 1', 'body 1', 0)")
    conn.execute("update doc set title = 'title 2', body = 'body 2' where id = 1")
    conn.execute("update doc set title = 'other' where id = 2")

    drain(conn, embedding, "[0,1,0]")

    rows = dict(conn.execute("select id, vector::text from doc_embedding").fetchall())
    assert rows == {1: "[1,0,0]", 2: "[0,1,0]", 3: "[1,0,0]"}


def test_a_row_that_kills_its_worker_is_found(conn: Connection) -> None:
    """Each lease that runs out halves the next batch of its jobs; alone, the row is charged, and in the end dead."""
    embedding = waiting_docs(conn, 8)
    sizes = []
    for _ in range(40):
        held = claim(conn, embedding, 8)
        if not held.jobs:
            break
        sizes.append(len(held.jobs))
        if 5 in held.ids:
            expire(conn)  # the worker died
        else:
            finish(conn, held)

    state = job(conn, embedding, '{"id": 5}')
    assert sizes[0] == 8
    assert state["attempts"] == 5
    assert "ended without a word" in state["last_error"]
    assert stored(conn) == [1, 2, 3, 4, 6, 7, 8]
    assert list(jobs(conn, embedding)) == ['{"id": 5}']


@also_on_16
def test_two_embeddings_and_a_switch(conn: Connection) -> None:
    """A second one fills beside the first, every change reaches both, and search changes over in one statement."""
    first = embedded_docs(conn, 3)
    second = embed(conn, name="next", model="better")
    assert sqlstate(conn, SWITCH, "next") == "PP011"
    assert value(conn, ACTIVE) == "default"
    drain(conn, second, "[0,1,0]")

    conn.execute(SWITCH, ("next",))

    assert value(conn, ACTIVE) == "next"
    conn.execute("update doc set title = 'both' where id = 1")
    assert list(jobs(conn, first)) == list(jobs(conn, second)) == ['{"id": 1}']
    assert sqlstate(conn, SWITCH, "third") == "PP008"
    conn.execute("select pgpipe.switch_embedding('doc', 'default', force => true)")
    assert value(conn, ACTIVE) == "default"
    conn.execute("select pgpipe.disable_embedding('doc', 'next')")
    assert jobs(conn, second) == {}
    assert value(conn, "select to_regclass('doc_embedding_next')") is None


@also_on_16
def test_pause_and_resume(conn: Connection) -> None:
    """While it is paused nothing is claimed and changes are enqueued; what was claimed before is finished."""
    embedding = waiting_docs(conn, 3)
    held = claim(conn, embedding, 1)
    conn.execute("select pgpipe.pause_embedding('doc')")
    assert claim(conn, embedding).jobs == []
    conn.execute("insert into doc values (9, 'nine', '', 0)")
    assert finish(conn, held) == (1, 0)
    assert len(jobs(conn, embedding)) == 3

    conn.execute("select pgpipe.resume_embedding('doc')")

    assert len(claim(conn, embedding).jobs) == 3


def test_a_large_insert_onto_jobs_that_are_there(conn: Connection) -> None:
    """The fast path of a large insert gives way where a job is there already: it is enqueued again."""
    make_docs(conn)
    embedding = embed_quietly(conn)
    conn.execute("insert into pgpipe.job (embedding_id, key) values (%s, '{\"id\": 7}')", (embedding,))

    conn.execute("insert into doc select n, 't', 'b', n from generate_series(1, 2000) n")

    found = jobs(conn, embedding)
    assert len(found) == 2000
    assert (found['{"id": 7}'], found['{"id": 8}']) == (2, 1)
