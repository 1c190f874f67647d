"""The static triggers that `make bench-triggers` measures against do the work of pgpipe's own."""

from typing import Any

import pytest

from pgpipe.db import Connection
from tests.bench.triggers import EMBED, MAKE, STATIC

STATEMENTS = [
    "insert into doc values (1, 'a', 'b', 1)",
    "insert into doc select n, 'title', null, n from generate_series(2, 150) n",
    "update doc set title = 'c' where id = 1",
    "update doc set title = 'c', size = 5 where id <= 140",
    "update doc set size = size + 1",
    "update doc set id = id + 1000 where id between 3 and 5",
    "update doc set body = 'B' where id = 7",
    "insert into doc values (3, 'again', 'again', 1) on conflict (id) do update set title = excluded.title",
    "delete from doc where id = 9",
    "delete from doc where id between 10 and 130",
]


def jobs(conn: Connection) -> list[tuple[Any, ...]]:
    """The queue, without the moments of time."""
    query = "select embedding_id, key, gen, attempts, rescues, lease_token, dead_at from pgpipe.job order by key"
    return conn.execute(query).fetchall()


@pytest.mark.parametrize("done", range(1, len(STATEMENTS) + 1))
def test_both_leave_the_same_jobs(conn: Connection, done: int) -> None:
    """After each of these statements, in their order, the two queues are equal."""
    left = []
    for static in (False, True):
        conn.execute(MAKE)
        conn.execute(EMBED)
        if static:
            conn.execute("select pgpipe_internal.unwatch('doc')")
            conn.execute(STATIC.read_bytes())
        for statement in STATEMENTS[:done]:
            conn.execute(statement)
        left.append(jobs(conn))

    assert left[0] == left[1]
    assert left[0]
