"""The queue of a distributed target, by a stand-in for Citus: jobs come from loads, and no row is locked."""

import json

import pytest

from pgpipe.db import Connection
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import load
from tests.sql.support import (
    claim,
    column,
    drain,
    embed,
    expire,
    finish,
    job,
    jobs,
    outcomes_of,
    sqlstate,
    stored,
    value,
)

SPREAD = {"mode": "snapshot", "key": ["id"], "distribute": "id", "max_deleted": "100%"}
ROWS = [{"id": n, "text": f"row {n}", "size": n} for n in range(1, 6)]
HIDDEN = "select key::text from pgpipe.job where visible_at > now() + interval '50 seconds' order by 1"
RECONCILE = "select examined, enqueued, finished from pgpipe_internal.reconcile_rows(%s, 2)"
EVENTS = "select count(*) from pg_trigger where tgrelid in ('product'::regclass, 'product_embedding'::regclass)"


@pytest.fixture
def embedding(pretending: Connection, cli: Cli, lake: Lake, configure: Configure) -> int:
    """The embedding of a distributed table of five rows, which all have their vector."""
    configure(**SPREAD)
    lake.put("2026-01-01", "product", ROWS)
    load(cli, lake.url)
    made = embed(pretending, "product", ["text"])
    assert drain(pretending, made) == 5
    return made


def keys(*ids: int) -> list[str]:
    return [json.dumps({"id": n}) for n in ids]


def test_loads_enqueue_what_they_change(
    pretending: Connection, embedding: int, cli: Cli, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 18: jobs of rows that are new, gone or read otherwise, no others; hidden until the load reveals them."""
    conn = pretending
    assert (value(conn, EVENTS), value(conn, "select beside from pretended.asked order by place desc limit 1")) == (
        0,
        "public.product",
    )
    changed = [{**ROWS[0], "size": 9}, {**ROWS[1], "text": "other"}, *ROWS[2:4], {**ROWS[4], "id": 6}]
    lake.put("2026-01-02", "product", changed)
    with monkeypatch.context() as killed:  # after the commit
        killed.setattr("pgpipe.load.write.merge.reveal", lambda _run: None)
        load(cli, lake.url)
    assert column(conn, HIDDEN) == keys(2, 5, 6)
    assert claim(conn, embedding).jobs == []
    conn.execute("update pgpipe.job set visible_at = visible_at - interval '1 minute'")
    assert drain(conn, embedding) == 3
    assert stored(conn, "product_embedding") == [1, 2, 3, 4, 6]

    lake.put("2026-01-03", "product", [*changed[:4], {**ROWS[4], "id": 7}])
    load(cli, lake.url)
    assert claim(conn, embedding).ids == {6, 7}


def test_appended_rows_are_enqueued(pretending: Connection, cli: Cli, lake: Lake, configure: Configure) -> None:
    """Issue 18: an append has no list of differences: all staged rows get jobs, which are revealed."""
    conn = pretending
    configure(**SPREAD | {"mode": "append"})
    lake.put("2026-01-01", "product", ROWS[:2])
    load(cli, lake.url)
    embedding = embed(conn, "product", ["text"])
    assert drain(conn, embedding) == 2
    lake.put("2026-01-02", "product", ROWS[2:])
    load(cli, lake.url)

    assert claim(conn, embedding).ids == {3, 4, 5}


def test_what_became_of_each_row(pretending: Connection, embedding: int) -> None:
    """Issue 18: a row that changed since it was read is given back, as a job enqueued again is; a deleted one goes."""
    conn = pretending
    enqueue = "insert into pgpipe.job (embedding_id, key) select %s, jsonb_build_object('id', id) from product"
    conn.execute("update product set text = text || ' new'")
    conn.execute(enqueue, (embedding,))
    held = claim(conn, embedding)
    assert [n[3] for n in held.jobs] == [f"row {n} new" for n in range(1, 6)]
    conn.execute("update product set text = 'unseen' where id = 1")
    conn.execute("update pgpipe.job set gen = gen + 1 where key = '{\"id\": 2}'")
    conn.execute("delete from product where id = 3")
    with conn.transaction(force_rollback=True):
        assert outcomes_of(conn, held) == ["changed", "changed", "gone", "done", "done"]
    assert finish(conn, held, "[0,1,0]") == (5, 0)
    assert list(jobs(conn, embedding)) == keys(1, 2)
    assert job(conn, embedding, keys(1)[0])["ready"]
    vectors = "select array_agg(id order by id) from product_embedding where vector::text = %s"
    assert [value(conn, vectors, v) for v in ("[1,0,0]", "[0,1,0]")] == [[1, 2], [4, 5]]
    assert [j[5] for j in claim(conn, embedding).jobs] == [False, False]
    expire(conn)
    assert (drain(conn, embedding), stored(conn, "product_embedding")) == (2, [1, 2, 4, 5])


def test_passages_are_replaced(pretending: Connection, embedding: int) -> None:
    """Issue 18: a row that had three passages and has one keeps no vector of the others; a fresh one keeps its own."""
    conn = pretending
    conn.execute(
        "insert into product_embedding select id, n, 0, 1, content_hash, model, vector "
        "from product_embedding cross join generate_series(1, 2) n where chunk = 0"
    )
    conn.execute(
        "insert into pgpipe.job (embedding_id, key) select %s, jsonb_build_object('id', n) "
        "from generate_series(1, 2) n",
        (embedding,),
    )
    conn.execute("update product set text = 'short' where id = 1")

    assert drain(conn, embedding) == 2
    assert stored(conn, "product_embedding") == [1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5]


def test_reconcile_is_the_authority(pretending: Connection, embedding: int) -> None:
    """Issue 18: what plain SQL changed, deleted or added is found by a sweep; a second finds nothing."""
    conn = pretending
    conn.execute("update product set text = 'other' where id = 2")
    conn.execute("delete from product where id = 3")
    conn.execute("insert into product values (9, 'new')")
    conn.execute("update product_embedding set vector = '[0,0,0]' where id = 5")

    def sweep() -> int:
        enqueued, ended = 0, False
        while not ended:
            _, some, ended = conn.execute(RECONCILE, (embedding,)).fetchone() or (0, 0, True)
            enqueued += some
        return enqueued

    assert sweep() == 4
    assert sorted(jobs(conn, embedding)) == keys(2, 3, 5, 9)
    drain(conn, embedding)
    assert (sweep(), stored(conn, "product_embedding")) == (0, [1, 2, 4, 5, 9])
    assert value(conn, "select reason from pgpipe.embedding_status where entity = 'product'") is None


def test_the_fence_is_called(pretending: Connection, embedding: int, cli: Cli, lake: Lake) -> None:
    """Issue 18: what writes rows there and here in one transaction deletes from the fence; nobody puts a row there."""
    conn = pretending
    conn.execute("""
        create table public.fenced (transaction xid8);
        create function note() returns trigger language plpgsql as
            'begin insert into public.fenced values (pg_current_xact_id()); return null; end';
        create trigger note after delete on pgpipe.fence for each statement execute function note()
    """)
    lake.put("2026-01-02", "product", ROWS[1:])
    load(cli, lake.url)
    assert value(conn, "select count(*) from fenced f join pgpipe.load_file l on l.xmin = f.transaction::xid") == 1
    conn.execute("truncate fenced")
    assert drain(conn, embedding) == 1
    assert value(conn, "select count(*) from fenced") == 1
    assert sqlstate(conn, "insert into pgpipe.fence values (1)") == "23514"


def test_a_key_of_several_columns(pretending: Connection) -> None:
    """Issue 18: rows are asked for column by column and matched here, so none of another key is taken for one."""
    conn = pretending
    conn.execute("create table item (shop int, no text, body text, primary key (shop, no))")
    conn.execute("select pgpipe_internal.after_create('item', 'shop')")
    conn.execute(
        "insert into item select shop, no::text, shop || no::text from generate_series(1, 3) shop, "
        "generate_series(1, 3) no"
    )
    embedding = embed(conn, "item", ["body"])
    conn.execute('delete from pgpipe.job where not key in (\'{"shop": 1, "no": "2"}\', \'{"shop": 2, "no": "1"}\')')
    assert [j[3] for j in sorted(claim(conn, embedding).jobs, key=lambda each: str(each[3]))] == ["12", "21"]
    expire(conn)
    assert drain(conn, embedding) == 2
    assert conn.execute("select shop, no from item_embedding order by 1").fetchall() == [(1, "2"), (2, "1")]


@pytest.mark.usefixtures("embedding")
def test_what_is_refused_of_an_embedding(pretending: Connection) -> None:
    """Issue 18: filter tables, and a key whose values cannot be sent in an array, are refused by name."""
    conn = pretending
    assert sqlstate(conn, "select pgpipe.enable_filters('product', '{size}')") == "PP022"
    conn.execute("create table listed (id int[] primary key, body text)")
    conn.execute("select pgpipe_internal.after_create('listed', 'id')")
    assert sqlstate(conn, "select pgpipe.enable_embedding('listed', '{body}', 'fake', 3)") == "PP022"
