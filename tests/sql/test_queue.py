"""Claim and finish: who gets a job, what each outcome of it writes."""

import pytest

from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.sql.support import (
    claim,
    column,
    drain,
    embed,
    embed_quietly,
    embedded_docs,
    expire,
    finish,
    job,
    jobs,
    make_docs,
    stored,
    value,
    waiting_docs,
)

KEY = '{"id": 1}'


def test_claim_says_what_to_embed(conn: Connection) -> None:
    """The text, its hash and its history come with the key; lines of empty columns are left out."""
    make_docs(conn)
    conn.execute("insert into doc values (1, 'one', 'body', 0), (2, null, 'only body', 0), (3, ' ', E'\\n', 0)")
    embedding = embed(conn)

    held = claim(conn, embedding)

    texts = {key: content for key, _, _, content, *_ in held.jobs}
    assert texts == {'{"id": 1}': "one\nbody", '{"id": 2}': "only body", '{"id": 3}': None}
    assert [j[4] for j in held.jobs if j[0] == KEY] == [value(conn, "select sha256('one\nbody')")]
    assert job(conn, embedding, KEY)["leased_by"] == "test"


def test_template(conn: Connection) -> None:
    """Text of one's own stays; a line whose columns are all empty goes; a row without any text is no text."""
    make_docs(conn)
    conn.execute("insert into doc values (1, 'one', 'body', 5), (2, 'two', null, null), (3, null, '', null)")
    embedding = embed(conn, columns=["title", "body", "size"], template="passage:\n{title} ({size})\n\n{body}")

    texts = [j[3] for j in sorted(claim(conn, embedding).jobs)]

    assert texts == ["passage:\none (5)\n\nbody", "passage:\ntwo ()", None]


def test_longest_waiting_first(conn: Connection) -> None:
    """A claim takes no more than it asks for, in the order of waiting."""
    embedding = waiting_docs(conn, 5)
    conn.execute("update pgpipe.job set visible_at = now() - make_interval(secs => (key ->> 'id')::int)")

    assert claim(conn, embedding, 2).ids == {5, 4}
    assert claim(conn, embedding, 2).ids == {3, 2}


def test_two_workers_never_share_a_job(conn: Connection, other: Connection) -> None:
    """Jobs claimed by one open transaction are invisible to the next claim, which does not wait."""
    embedding = waiting_docs(conn, 6)
    other.execute("set statement_timeout = '60s'")

    with conn.transaction(), other.transaction():
        first, second = claim(conn, embedding, 3), claim(other, embedding, 10)

        assert len(first.ids) == len(second.ids) == 3
        assert first.ids.isdisjoint(second.ids)
    assert claim(conn, embedding).jobs == []


@also_on_16
def test_an_expired_lease_is_claimed_again(conn: Connection) -> None:
    """After the lease another worker gets the job; the first one's result is dropped, and counted stale."""
    embedding = waiting_docs(conn, 2)
    slow = claim(conn, embedding)
    assert claim(conn, embedding).jobs == []
    expire(conn)

    fast = claim(conn, embedding)

    assert fast.ids == slow.ids
    assert finish(conn, slow, "[0,1,0]") == (0, 2)
    assert stored(conn) == []
    assert finish(conn, fast) == (2, 0)
    assert finish(conn, slow, "[0,1,0]") == (0, 2)
    assert column(conn, "select distinct vector::text from doc_embedding") == ["[1,0,0]"]


@also_on_16
def test_a_late_worker_that_nobody_replaced_may_finish(conn: Connection) -> None:
    """A lease that ran out and was not claimed again still counts: the work is not thrown away."""
    embedding = waiting_docs(conn, 1)
    held = claim(conn, embedding)
    expire(conn)

    assert finish(conn, held) == (1, 0)
    assert jobs(conn, embedding) == {}


def test_a_row_changed_meanwhile_goes_back(conn: Connection) -> None:
    """Its gen moved: nothing is written, the job is ready at once, and the next claim sees the new text."""
    embedding = waiting_docs(conn, 2)
    held = claim(conn, embedding)
    conn.execute("update doc set title = 'newer' where id = 1")

    assert finish(conn, held) == (2, 0)

    assert stored(conn) == [2]
    again = job(conn, embedding, KEY)
    assert (again["ready"], again["lease_token"], again["attempts"]) == (True, None, 0)
    assert [j[3] for j in claim(conn, embedding).jobs] == ["newer\nbody 1"]


def test_a_row_changed_and_changed_back(conn: Connection) -> None:
    """Its gen moved although the text is the same: given back, then found fresh or embedded, never lost."""
    embedding = waiting_docs(conn, 1)
    held = claim(conn, embedding)
    conn.execute("update doc set title = 'newer'")
    conn.execute("update doc set title = 'title 1'")

    finish(conn, held)

    assert jobs(conn, embedding) == {KEY: 3}
    assert drain(conn, embedding) == 1
    assert stored(conn) == [1]


def test_a_change_that_no_trigger_saw(conn: Connection) -> None:
    """The row changed under replication: the old text's vector is not written, and the job is kept."""
    embedding = waiting_docs(conn, 2)
    held = claim(conn, embedding)
    conn.execute("set session_replication_role = replica")
    conn.execute("update doc set title = 'unseen' where id = 1")
    conn.execute("set session_replication_role = origin")

    assert finish(conn, held) == (2, 0)

    assert stored(conn) == [2]
    assert [j[3] for j in claim(conn, embedding).jobs] == ["unseen\nbody 1"]


@also_on_16
def test_a_row_deleted_meanwhile(conn: Connection) -> None:
    """A row went while the model ran: nothing is written, nothing fails, and its job clears up after it."""
    embedding = waiting_docs(conn, 2)
    held = claim(conn, embedding)
    conn.execute("delete from doc where id = 1")

    assert finish(conn, held) == (2, 0)

    assert (stored(conn), jobs(conn, embedding)) == ([2], {'{"id": 1}': 2})
    drain(conn, embedding)
    assert (stored(conn), jobs(conn, embedding)) == ([2], {})


def test_a_job_of_a_row_that_is_gone(conn: Connection) -> None:
    """A row that went without its triggers: the claim has no text, and the finish removes job and vectors."""
    embedding = embedded_docs(conn)
    conn.execute("update doc set title = 'x' where id = 1")
    held_before = claim(conn, embedding)
    conn.execute("set session_replication_role = replica")
    conn.execute("delete from doc where id in (1, 2)")
    conn.execute("set session_replication_role = origin")
    conn.execute("insert into pgpipe.job (embedding_id, key) values (%s, '{\"id\": 2}')", (embedding,))
    held = claim(conn, embedding)

    assert [(j[0], j[3], j[5]) for j in held.jobs] == [('{"id": 2}', None, False)]
    assert finish(conn, held) == (1, 0)
    assert finish(conn, held_before) == (1, 0)
    assert (jobs(conn, embedding), stored(conn)) == ({}, [3])


def test_a_row_that_lost_its_text_loses_its_vectors(conn: Connection) -> None:
    """NULL in every input column: acknowledged, and the stored vectors go."""
    embedding = embedded_docs(conn)
    conn.execute("update doc set title = null, body = '' where id = 1")

    assert drain(conn, embedding) == 1
    assert stored(conn) == [2, 3]


def test_unchanged_text_needs_no_model(conn: Connection) -> None:
    """Stored hash and model are those of the text: fresh, acknowledged without vectors, the store untouched."""
    embedding = embedded_docs(conn)
    before = column(conn, "select xmin::text from doc_embedding order by id")
    conn.execute(
        "insert into pgpipe.job (embedding_id, key) select %s, jsonb_build_object('id', id) from doc", (embedding,)
    )

    held = claim(conn, embedding)

    assert [j[5] for j in held.jobs] == [True] * 3
    assert finish(conn, held) == (3, 0)
    assert column(conn, "select xmin::text from doc_embedding order by id") == before


def test_another_model_is_not_fresh(conn: Connection) -> None:
    """The same text by another model than the declared one is embedded again."""
    embedding = embedded_docs(conn, 1)
    conn.execute("update doc_embedding set model = 'older'")
    conn.execute("update doc set size = 0, title = 'x'")
    conn.execute("update doc set title = 'title 1'")

    assert [j[5] for j in claim(conn, embedding).jobs] == [False]


@also_on_16
def test_fewer_chunks_replace_more(conn: Connection) -> None:
    """A text that got shorter keeps none of its former chunks."""
    embedding = embedded_docs(conn, 2)
    conn.execute("""
        insert into doc_embedding
        select id, n, 0, 1, content_hash, model, vector from doc_embedding, generate_series(1, 3) n
    """)
    conn.execute("update doc set title = 'short' where id = 1")

    drain(conn, embedding, "[0,1,0]")

    assert stored(conn) == [1, 2, 2, 2, 2]
    assert column(conn, "select vector::text from doc_embedding where id = 1") == ["[0,1,0]"]


@pytest.mark.parametrize("rows", [3000])
def test_a_large_batch_is_not_quadratic(conn: Connection, rows: int) -> None:
    """A claim and a finish of thousands of jobs take seconds, not minutes."""
    embedding = waiting_docs(conn, rows)
    conn.execute("set statement_timeout = '60s'")

    held = claim(conn, embedding, rows)

    assert finish(conn, held) == (rows, 0)
    assert len(stored(conn)) == rows


@pytest.mark.parametrize("analyzed", ["never", "when it was empty", "as it is"])
def test_a_claim_reads_what_it_takes(conn: Connection, analyzed: str) -> None:
    """Of many jobs a claim reads those it leases, by the index, whatever the statistics say; no scan of any table."""
    make_docs(conn, 1)
    embedding = embed_quietly(conn)
    if analyzed == "when it was empty":
        conn.execute("analyze pgpipe.job")
    many = """
        insert into pgpipe.job (embedding_id, key)
        select %s, jsonb_build_object('id', n) from generate_series(1, %s) n
    """
    conn.execute(many, (embedding, 100_000))
    if analyzed == "as it is":
        conn.execute("analyze pgpipe.job")
    reads = """
        select relname::text, seq_scan, idx_tup_fetch
          from pg_stat_xact_user_tables where relname in ('job', 'doc', 'doc_embedding')
    """

    conn.execute("select pg_stat_force_next_flush()")  # else what was done within the last second counts, too
    with conn.transaction():
        held = claim(conn, embedding, 256)
        read = {name: (scans, rows or 0) for name, scans, rows in conn.execute(reads).fetchall()}

    assert len(held.jobs) == 256
    assert {scans for scans, _ in read.values()} == {0}
    assert read["job"][1] <= 2 * 256
