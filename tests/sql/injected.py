"""Errors of every class, injected into the calls of a worker for one of two embeddings."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pgpipe.db import Connection, Database
from pgpipe.embed import trouble
from pgpipe.embed.worker import Worker
from pgpipe.settings.model import EmbeddingSettings, IndexSettings
from tests.sql.fake_model import Fake
from tests.sql.support import embed, value

# One of each class; of those that say nothing about the rows, several.
CODES = [
    "08006", "0A000", "21000", "22003", "23505", "25006", "28000", "2B000", "40001", "40P01", "42501", "42703", "42883",
    "53100", "53200", "54000", "55P03", "57014", "57P01", "58030", "F0000", "P0001", "P0004", "XX000", "XX001",
]  # fmt: skip
PASSING = [code for code in CODES if code.startswith(trouble.PASSING)]
OF_ROWS = [code for code in CODES if code not in PASSING]
STATUS = "select coalesce(reason, '') from pgpipe.embedding_status where entity = 'sick'"
CHARGED = "select (key ->> 'id')::int, attempts, last_error from pgpipe.job order by 1"
WAITING = """
    select count(*) from pgpipe.job join pgpipe.embedding e using (embedding_id) where e.target = %s::regclass
"""
GUARD = """
    create table injected (code text);
    create function guard() returns boolean language plpgsql as $$
    declare
        code text := (select injected.code from public.injected);
    begin
        if code = 'lost' then
            perform pg_terminate_backend(pg_backend_pid());
        elsif code <> '' then
            raise exception 'injected' using errcode = code;
        end if;
        return true;
    end $$;
    insert into injected values ('')
"""
# The functions of a worker's calls as they are, with trouble before they begin.
CALLS = {
    "claim": "pgpipe_target.claim_1",
    "finish": "pgpipe_target.finish_1",
    "sweep": "pgpipe_target.reconcile_1",
    "settle": "pgpipe_target.settle_1",
    "write": "pgpipe_target.write_1",
}


def break_call(conn: Connection, function: str, when: str = "true") -> None:
    """Let a function of the sick embedding ask the guard first."""
    source = value(conn, "select pg_get_functiondef(%s::regproc)", function)
    head, body = source.split("\nbegin\n", 1)
    conn.execute(f"{head}\nbegin\nif {when} then perform public.guard(); end if;\n{body}".encode())


def inject(conn: Connection, code: str) -> None:
    conn.execute("update injected set code = %s", (code,))


class Embedded:
    """Two tables with an embedding each: what is done to `sick` must not matter to `well`."""

    def __init__(self, database: Database, conn: Connection) -> None:
        self.database, self.conn = database, conn
        conn.execute(GUARD)
        for table in ("sick", "well"):
            conn.execute(f"create table {table} (id int primary key, title text)".encode())
            conn.execute(f"insert into {table} select n, '{table} ' || n from generate_series(1, 3) n".encode())
            embed(conn, table, ["title"], model=table)

    def worker(self) -> Worker:
        settings = EmbeddingSettings(
            model="well", models=["*"], batch=8, reconcile_every=3600, index=IndexSettings(kind="none")
        )
        return Worker(self.database, settings, load=self.load)

    def load(self, _settings: EmbeddingSettings) -> Fake:
        return Fake()

    def change(self, round_: str) -> None:
        """Let all rows of both tables wait, with new texts."""
        for table in ("sick", "well"):
            self.conn.execute(f"update {table} set title = %s || id".encode(), (f"{table} {round_} ",))
        self.conn.execute("update pgpipe.job set visible_at = now(), attempts = 0 where dead_at is null")

    def served(self, table: str) -> bool:
        """Whether nothing of the table waits."""
        return value(self.conn, WAITING, table) == 0


class Panic(BaseException):
    """As Rust's panics are in Python."""


@contextmanager
def daemon(two: Embedded) -> Iterator[threading.Thread]:
    """One that lives to the end of the block, whatever it meets."""
    worker = two.worker()
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        yield thread
        assert thread.is_alive()
    finally:
        worker.halt()
        thread.join(120.0)
    assert not thread.is_alive()
