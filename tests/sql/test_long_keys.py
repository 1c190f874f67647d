"""Keys that fit into a table but not into the queue: the user's write never fails for them."""

import random

from pgpipe.db import Connection
from tests.sql.support import embed, value


def text(length: int) -> str:
    """One that does not compress."""
    chosen = random.Random(length)
    return "".join(
        chosen.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-") for _ in range(length)
    )


def test_a_key_too_long_for_the_queue(conn: Connection) -> None:
    """L21: every row that the table takes is written, changed and deleted; those whose key fits have jobs."""
    conn.execute("create table doc (id text primary key, title text)")
    short, fits, long_ = text(20), text(2640), text(2686)
    conn.execute("insert into doc values (%s, 'before')", (long_,))
    made = embed(conn, columns=["title"])
    assert value(conn, "select count(*) from pgpipe.job") == 0

    conn.execute("insert into doc select unnest(%s::text[]), 'one'", ([short, fits, text(2685)],))
    conn.execute("update doc set title = 'two'")
    conn.execute("insert into doc select 'many ' || n, 'three' from generate_series(1, 200) n")
    conn.execute("insert into doc values (%s, 'four')", (text(2684),))
    conn.execute("update doc set title = 'five'")
    conn.execute("update doc set id = %s where id = 'many 7'", (text(2683),))
    conn.execute("delete from doc where id = %s", (long_,))

    enqueued = {key["id"] for (key,) in conn.execute("select key from pgpipe.job")}
    assert {short, fits, "many 1", "many 7"} <= enqueued
    assert max(map(len, enqueued)) == len(fits)
    conn.execute("delete from pgpipe.job")
    conn.execute("select pgpipe_internal.reconcile_rows(%s)", (made,))
    assert {key["id"] for (key,) in conn.execute("select key from pgpipe.job")} == enqueued - {"many 7"}
