"""Trouble: embedders killed and stopped, backends ended, snapshots held, restarts; and what operators do."""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg

from tests.chaos.embedders import LONG, Embedders
from tests.chaos.soak.world import LOST, World
from tests.chaos.support import restart

Kind = tuple[int, Callable[[random.Random], None]]  # how often, of all, and what

EMBEDDERS = 3
LEASE = 2.0
TERMINATE = """
    select count(pg_terminate_backend(pid)) from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid() and random() < %s
"""


class Crew:
    """The embedders, which are replaced when they end."""

    def __init__(self, world: World) -> None:
        self._world, self._random = world, world.random("embedders")
        self._made = Embedders(world.folder, world.database.url)
        self._said = (world.folder / "embedders.log").open("a+", encoding="utf-8")
        self.running = [self._start() for _ in range(EMBEDDERS)]

    def _start(self) -> subprocess.Popen[str]:
        self._world.count("embedders started")
        slow = self._random.choice([0, 0.01, 0.1, 1.0])
        return self._made.start(
            "--batch", self._random.choice(["8", "64", "256"]), lease=LEASE, slow=slow, to=self._said
        )

    def end(self, by: signal.Signals) -> None:
        """End one, start another; one that ended by itself is a violation."""
        place = self._random.randrange(EMBEDDERS)
        gone = self.running[place]
        if gone.poll() is not None:
            self._world.violated(f"an embedder ended by itself with {gone.returncode}")
        gone.send_signal(by)
        try:
            gone.wait(LONG)
        except subprocess.TimeoutExpired:
            self._world.violated(f"an embedder does not hear {by.name}")
            gone.kill()
        if by == signal.SIGTERM and gone.returncode not in {0, -signal.SIGTERM}:  # it had not even begun
            self._world.violated(f"an embedder ended with {gone.returncode} after SIGTERM")
        self.running[place] = self._start()

    def freeze(self, seconds: float) -> None:
        """Stop one for a while, most often beyond its lease."""
        frozen = self.running[self._random.randrange(EMBEDDERS)]
        frozen.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        frozen.send_signal(signal.SIGCONT)

    def drain(self) -> None:
        """End all, then work off what is left."""
        self._made.stop()
        self._made.drain()

    def stop(self) -> str:
        """End all that still run; returns what the embedders wrote."""
        self._made.stop()
        self._said.close()
        return Path(self._said.name).read_text(encoding="utf-8")


class Trouble:
    """Chooses the next trouble, until the soak is over."""

    def __init__(self, world: World, crew: Crew) -> None:
        self._world, self._crew, self._random = world, crew, world.random("trouble")
        self.kinds: dict[str, Kind] = {
            "embedders killed": (6, lambda _: crew.end(signal.SIGKILL)),
            "embedders ended": (2, lambda _: crew.end(signal.SIGTERM)),
            "embedders stopped and woken": (4, lambda choose: crew.freeze(choose.uniform(0.5, 2 * LEASE))),
            "backends terminated, some of them": (3, self._terminate),
            "snapshots held": (3, self._hold),
            "switches": (4, self._switch),
            "reconciled": (3, self._reconcile),
            "immediate restarts": (1, lambda _: restart(world.server, "immediate")),
            "lulls": (3, self._lull),
        }

    def run(self) -> None:
        """One trouble after the other."""
        weights = [weight for weight, _ in self.kinds.values()]
        while not self._world.over.wait(self._random.random() * 2):
            kind = self._random.choices(list(self.kinds), weights)[0]
            with suppress(*LOST):
                self.kinds[kind][1](self._random)
            self._world.count(kind)

    def _terminate(self, choose: random.Random) -> None:
        with self._world.connect() as conn:
            (ended,) = conn.execute(TERMINATE, (choose.choice([0.2, 0.5, 1.0]),)).fetchone() or (0,)
        self._world.count("backends terminated", ended)

    def _hold(self, choose: random.Random) -> None:
        """In the background: a snapshot, and a lock on some rows and jobs."""
        seconds, holds_rows = choose.uniform(1, 6), choose.random() < 0.5

        def hold() -> None:
            with suppress(*LOST, psycopg.Error), self._world.connect() as conn, conn.transaction():
                conn.execute("set transaction isolation level repeatable read")
                conn.execute("select count(*) from pgpipe.job")
                if holds_rows:
                    conn.execute("select from pgpipe.job order by random() limit 20 for update skip locked")
                    conn.execute("select from note order by random() limit 20 for share skip locked")
                self._world.over.wait(seconds)

        self._world.part("a held snapshot", hold)

    def _switch(self, choose: random.Random) -> None:
        with self._world.connect() as conn:
            conn.execute("select pgpipe.switch_embedding('note', %s, true)", (choose.choice(["default", "green"]),))

    def _reconcile(self, choose: random.Random) -> None:
        """As the command does, a range at a time."""
        with self._world.connect() as conn:
            number = choose.choice([row[0] for row in conn.execute("select embedding_id from pgpipe.embedding")])
            for _ in range(100):
                query = "select finished from pgpipe_internal.reconcile_rows(%s, 300)"
                try:
                    if (conn.execute(query, (number,)).fetchone() or (True,))[0]:
                        return
                except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                    self._world.count("reconciles that waited too long")
                    return

    def _lull(self, choose: random.Random) -> None:
        with self._world.lull():
            self._world.over.wait(choose.uniform(1, 4))
