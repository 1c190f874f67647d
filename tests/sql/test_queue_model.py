"""A state machine drives the queue against a model of it: changes, claims, expiries, finishes, failures at will."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pgpipe.db import Connection, Database
from tests.sql.support import Claim, claim, embed, fail, finish, make_docs, release

KEYS = st.integers(1, 5)
LATER = "update pgpipe.job set visible_at = now() - interval '1 second' where dead_at is null and lease_token is null"
EXPIRE = "update pgpipe.job set visible_at = now() - interval '1 second' where lease_token = %s"
JOBS = "select (key ->> 'id')::int, gen, attempts, lease_token, dead_at is not null from pgpipe.job"
RIGHT = """
    select id from doc join doc_embedding using (id)
     where content_hash = pgpipe_internal.content_hash(concat_ws(chr(10), title, body))
"""


@dataclass
class Job:
    """What the queue must hold of one row."""

    gen: int = 1
    attempts: int = 0
    token: uuid.UUID | None = None
    dead: bool = False


@dataclass
class Model:
    """What the queue must be."""

    rows: dict[int, int] = field(default_factory=dict)  # key: version of its text
    stored: dict[int, int] = field(default_factory=dict)  # key: version whose vector is stored
    jobs: dict[int, Job] = field(default_factory=dict)


class Queue(RuleBasedStateMachine):
    """Every step is done to the database and to the model; after each, they agree."""

    conn: Connection
    embedding: int

    @initialize()
    def start(self) -> None:
        self.conn.execute("truncate doc, doc_embedding")
        self.conn.execute("delete from pgpipe.job")
        self.model = Model()
        self.versions = 0
        self.held: list[tuple[Claim, dict[int, tuple[int, int | None]]]] = []

    @rule(key=KEYS)
    def write(self, key: int) -> None:
        """A row comes, or its text changes."""
        self.versions += 1
        self.conn.execute(
            "insert into doc values (%s, %s, null, 0) on conflict (id) do update set title = excluded.title",
            (key, f"version {self.versions}"),
        )
        self.model.rows[key] = self.versions
        self.enqueue(key)

    def enqueue(self, key: int) -> None:
        """What a trigger does."""
        job = self.model.jobs.get(key)
        if job is None:
            self.model.jobs[key] = Job()
        else:
            job.gen, job.attempts, job.dead = job.gen + 1, 0, False

    @rule(key=KEYS)
    def delete(self, key: int) -> None:
        """A row goes: a job takes its vector away."""
        self.conn.execute("delete from doc where id = %s", (key,))
        if self.model.rows.pop(key, None) is not None:
            self.enqueue(key)

    @rule(key=KEYS)
    def touch(self, key: int) -> None:
        """Another column changes: nothing happens."""
        self.conn.execute("update doc set size = size + 1 where id = %s", (key,))

    @precondition(lambda self: len(self.held) < 3)
    @rule()
    def take(self) -> None:
        """A worker claims whatever is ready."""
        self.conn.execute(LATER)
        ready = {k for k, j in self.model.jobs.items() if j.token is None and not j.dead}
        held = claim(self.conn, self.embedding, 64)
        assert held.ids == ready
        for key in ready:
            self.model.jobs[key].token = held.token
        self.held.append((held, {k: (self.model.jobs[k].gen, self.model.rows.get(k)) for k in ready}))

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 2))
    def expire(self, which: int) -> None:
        """A lease runs out, and somebody else takes its jobs; the first does not know."""
        held, seen = self.held[which % len(self.held)]
        self.conn.execute(EXPIRE, (held.token,))
        lost = {k for k in seen if (j := self.model.jobs.get(k)) and j.token == held.token}
        other = claim(self.conn, self.embedding, 64)
        for key in other.ids:
            job = self.model.jobs[key]
            assert key in lost or (job.token is None and not job.dead)
            job.token = other.token
        for key in lost - other.ids:  # a rescued batch is smaller
            self.model.jobs[key].token = None
            self.conn.execute(
                "update pgpipe.job set lease_token = null, leased_by = null where key = %s::jsonb",
                (f'{{"id": {key}}}',),
            )
        self.held.append((other, {k: (self.model.jobs[k].gen, self.model.rows.get(k)) for k in other.ids}))

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 2))
    def finish(self, which: int) -> None:
        """A worker comes with its vectors, in time or too late."""
        held, seen = self.held.pop(which % len(self.held))
        mine = {k for k in seen if (j := self.model.jobs.get(k)) and j.token == held.token}
        finished, stale = finish(self.conn, held)
        assert (finished, stale) == (len(mine), len(seen) - len(mine))
        for key in mine:
            gen, version = seen[key]
            if self.model.jobs[key].gen == gen:
                del self.model.jobs[key]
                if version is not None:
                    self.model.stored[key] = version
                else:
                    self.model.stored.pop(key, None)
            else:
                self.model.jobs[key].token = None

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 2), charge=st.booleans())
    def fail(self, which: int, charge: bool) -> None:
        """A worker gives its batch back with an error."""
        held, seen = self.held.pop(which % len(self.held))
        mine = {k for k in seen if (j := self.model.jobs.get(k)) and j.token == held.token}
        assert fail(self.conn, held, charge=charge) == len(mine)
        for key in mine:
            job = self.model.jobs[key]
            job.token = None
            if charge and job.gen == seen[key][0]:
                job.attempts += 1
                job.dead = job.attempts >= 2

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 2))
    def release(self, which: int) -> None:
        """A worker is told to stop."""
        held, seen = self.held.pop(which % len(self.held))
        mine = {k for k in seen if (j := self.model.jobs.get(k)) and j.token == held.token}
        assert release(self.conn, held) == len(mine)
        for key in mine:
            self.model.jobs[key].token = None

    @invariant()
    def agree(self) -> None:
        """The table is what the model says, and a row without a job has the vector of its present text."""
        found = {key: rest for key, *rest in self.conn.execute(JOBS).fetchall()}
        assert {k: [j.gen, j.attempts, j.token, j.dead] for k, j in self.model.jobs.items()} == found
        assert {row[0] for row in self.conn.execute("select id from doc_embedding").fetchall()} == set(
            self.model.stored
        )
        right = {row[0] for row in self.conn.execute(RIGHT).fetchall()}
        assert set(self.model.rows) - set(self.model.jobs) <= right
        assert right == {k for k, v in self.model.stored.items() if self.model.rows.get(k) == v}


@pytest.fixture
def machine(database: Database) -> Iterator[type[Queue]]:
    """The machine with a database under it."""
    with database.connect(autocommit=True) as conn:
        make_docs(conn)

        class Connected(Queue):
            pass

        Connected.conn, Connected.embedding = conn, embed(conn, columns=["title", "body"])
        conn.execute("update pgpipe.embedding set max_attempts = 2")
        yield Connected


def test_the_queue_is_its_model(machine: type[Queue]) -> None:
    """No order of events makes the queue differ: nothing is lost, nothing older replaces what is newer."""
    checks = settings(
        max_examples=25,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    run_state_machine_as_test(machine, settings=checks)
