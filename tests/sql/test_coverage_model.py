"""V24: whatever happens to a table, its coverage is 1 only if every row has a vector of its present text."""

import hashlib
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from pgpipe.db import Connection, Database
from tests.sql.alterations import ALTERATIONS, FIRST, PARTS, ROWS, SETUP, SPARE, content
from tests.sql.support import claim, drain, fail, value

KEYS = st.integers(1, 4)
TEXTS = st.sampled_from(["One", "two", "DREI", "", " ", None])
STORED = "select id, content_hash from doc_embedding where chunk = 0 and vector <=> vector = 0"


def expected(*parts: Any) -> bytes | None:
    """The hash of what the model must have read of a row; None where it has no vector."""
    text = content(*parts)
    return None if text is None else hashlib.sha256(text.encode()).digest()


class Table(RuleBasedStateMachine):
    """Statements at random; after each, the view's coverage against the truth."""

    conn: Connection
    embedding: int

    @initialize()
    def start(self) -> None:
        self.unseen = False  # whether something changed that no trigger saw, and no sweep since
        self.run("set session_replication_role = origin")
        self.run("alter table doc enable trigger all")
        self.run("truncate doc cascade")
        self.run(ALTERATIONS["enum back"])
        assert self.run(FIRST)
        self.settle()

    def run(self, statement: str, *values: object) -> bool:
        """Whether the server took it: a foreign key or a name may be in the way, and then nothing happened."""
        try:
            if statement.startswith("vacuum"):
                self.conn.execute(statement.encode())
            else:
                with self.conn.transaction():
                    self.conn.execute(statement.encode(), values or None)
        except psycopg.Error:
            return False
        return True

    @rule(key=KEYS, title=TEXTS, body=TEXTS, size=st.integers(-1, 2))
    def write(self, key: int, title: str | None, body: str | None, size: int) -> None:
        self.run(
            "insert into doc (id, title, body, size) values (%s, %s, %s, %s) on conflict (id) do update"
            " set title = excluded.title, body = excluded.body, size = excluded.size",
            key,
            title,
            body,
            size,
        )

    @rule(size=st.integers(-1, 2), above=KEYS)
    def move_condition(self, size: int, above: int) -> None:
        self.run("update doc set size = %s where id > %s", size, above)

    @rule(one=KEYS, other=KEYS)
    def change_key(self, one: int, other: int) -> None:
        self.run("update doc set id = %s where id = %s", other, one)

    @rule(key=KEYS)
    def delete(self, key: int) -> None:
        self.run("delete from doc where id = %s", key)

    @rule(name=st.sampled_from(sorted(ALTERATIONS)), other=st.sampled_from(sorted(ALTERATIONS)))
    def alter(self, name: str, other: str) -> None:
        """Where everything was right, so that it shows if it is not."""
        self.settle()
        self.run(ALTERATIONS[name])
        self.check()
        self.run(ALTERATIONS[other])

    @rule(key=KEYS, title=TEXTS, way=st.sampled_from(["replica", "no trigger"]))
    def change_unseen(self, key: int, title: str | None, way: str) -> None:
        off, on = {
            "replica": ("set session_replication_role = replica", "set session_replication_role = origin"),
            "no trigger": ("alter table doc disable trigger all", "alter table doc enable trigger all"),
        }[way]
        self.run(off)
        self.run("update doc set title = %s where id = %s", title, key)
        self.run("delete from doc where id = %s", key % 4 + 1)
        if way == "no trigger":
            self.check()
        self.run(on)
        self.unseen = True

    @rule()
    def drop_failed(self) -> None:
        """Jobs die and are dropped: their rows lack a vector, and nothing in the queue says so."""
        self.settle()
        self.run("update doc set title = title || '.', size = abs(size)")
        self.conn.execute("update pgpipe.embedding set max_attempts = 1")
        fail(self.conn, claim(self.conn, self.embedding, 9), charge=True)
        self.conn.execute("select pgpipe.drop_jobs()")

    @rule()
    def drain(self) -> None:
        drain(self.conn, self.embedding)

    @rule()
    def sweep(self) -> None:
        while not value(self.conn, "select finished from pgpipe_internal.reconcile_rows(%s, 3)", self.embedding):
            pass
        self.unseen = False

    @rule()
    def settle(self) -> None:
        """Sweep and drain: then coverage is whole, and there is nothing to doubt."""
        self.sweep()
        drain(self.conn, self.embedding)
        coverage, rows, reason = self.status()
        assert reason is None
        assert coverage == (1 if rows else None)

    def status(self) -> tuple[Any, ...]:
        query = "select coverage::float8, rows, reason from pgpipe.embedding_status"
        row = self.conn.execute(query).fetchone()
        assert row is not None
        return row

    def check(self) -> None:
        """Nothing is said to be whole that is not."""
        coverage, _, reason = self.status()
        assert coverage is None or 0 <= coverage <= 1
        if coverage == 1 and not self.unseen:
            rows = {id_: expected(*parts) for id_, *parts in self.conn.execute(ROWS).fetchall()}
            vectors = {id_: bytes(hash_) for id_, hash_ in self.conn.execute(STORED).fetchall()}
            assert vectors == {id_: hash_ for id_, hash_ in rows.items() if hash_ is not None}
        if coverage is None and value(self.conn, "select exists (select from doc_embedding)"):
            assert reason

    @invariant()
    def right(self) -> None:
        self.check()


def run(machine: type[Table], examples: int) -> None:
    checks = settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    run_state_machine_as_test(machine, settings=checks)


@pytest.fixture(params=["plain", "partitioned"])
def machine(request: pytest.FixtureRequest, database: Database) -> Iterator[type[Table]]:
    """The machine with a table under it; wherever its objects were changed, the next example begins with that."""
    with database.connect(autocommit=True) as conn:
        conn.execute(SETUP.format("partition by range (id)" if request.param == "partitioned" else "").encode())
        if request.param == "partitioned":
            conn.execute(PARTS)
            conn.execute(SPARE)

        class Connected(Table):
            pass

        declare = """
            select pgpipe.enable_embedding('doc', '{title,loud,mood}', 'fake', 3, condition => 'size >= 0')
        """
        Connected.conn, Connected.embedding = conn, value(conn, declare)
        yield Connected


def test_coverage_is_the_truth(machine: type[Table]) -> None:
    """V24: coverage is 1 only if all vectors are right: from a statement's or DDL's commit on, else from a sweep."""
    run(machine, 6)


@pytest.mark.long
def test_coverage_is_the_truth_for_long(machine: type[Table]) -> None:
    """V24: the same with many more statements."""
    run(machine, 150)
