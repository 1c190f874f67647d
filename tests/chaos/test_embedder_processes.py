"""Embedders that are killed, stopped and woken, cut off, or given a model that fails: every row ends right."""

import os
import pty
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pgpipe.db import Connection, Database
from tests.chaos.embedders import LONG, Embedders, check, count, keep_busy, populate, settled, until
from tests.unit.test_http_model import Answer, Service, vectors

LEASED = "select count(*) from pgpipe.job where lease_token is not null"
STORED = "select count(*) from doc_embedding"
STALE = "select coalesce(sum(stale), 0) from pgpipe.finished"
TERMINATE = """
    select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid() and application_name = 'pgpipe'
"""


@pytest.fixture
def embedders(database: Database, tmp_path: Path) -> Iterator[Embedders]:
    """Processes against `database`; what is left of them ends with the test."""
    made = Embedders(tmp_path, database.url)
    yield made
    made.stop()


@pytest.fixture
def look(database: Database) -> Iterator[Connection]:
    """A connection to watch from."""
    with database.connect(autocommit=True) as conn:
        conn.execute("set application_name = 'test'")
        yield conn


def test_one_of_three_is_killed_in_mid_batch(embedders: Embedders, database: Database, look: Connection) -> None:
    """After kill -9 its batch comes back after the lease, the other two finish everything."""
    populate(database, 2000)
    workers = [embedders.start("--batch", "64", slow=0.1) for _ in range(3)]

    def all_at_work() -> bool:
        keep_busy(look)
        return count(look, "select count(distinct leased_by) from pgpipe.job where lease_token is not null") == 3

    until(all_at_work)
    workers[0].send_signal(signal.SIGKILL)

    until(lambda: settled(look))

    check(look)
    assert count(look, "select count(distinct worker) from pgpipe.finished") >= 2


def test_ctrl_c_within_a_batch(embedders: Embedders, database: Database, look: Connection) -> None:
    """In a terminal a drain shows rows while the model reads a batch; Ctrl-C ends it with 130 and says what waits."""
    populate(database, 1000)
    screen, terminal = pty.openpty()
    with os.fdopen(terminal, "w", encoding="utf-8") as to:
        drain = embedders.start("--drain", "--batch", "1000", to=to, quiet=False, slow=0.2)
    shown = ""
    while not re.search(r"[1-9][0-9]*/1000", shown):
        shown += os.read(screen, 65536).decode(errors="ignore")
    drain.send_signal(signal.SIGINT)
    with suppress(OSError):  # the terminal is closed
        while part := os.read(screen, 65536).decode(errors="ignore"):
            shown += part
    os.close(screen)

    assert drain.wait(LONG) == 130
    embedded = count(look, STORED)
    assert embedded < 1000
    assert f"{embedded} rows embedded, 0 were fresh" in shown
    assert f"pgpipe: interrupted; {1000 - embedded:,} rows wait; what was embedded stays" in shown


def test_a_zombie_is_fenced_off(embedders: Embedders, database: Database, look: Connection) -> None:
    """SIGSTOP beyond the lease, texts change, another embeds them; SIGCONT: what it computed is dropped and counted."""
    populate(database, 100)
    zombie = embedders.start("--batch", "100", slow=5, lease=1)
    until(lambda: count(look, LEASED) == 100)
    zombie.send_signal(signal.SIGSTOP)
    look.execute("update doc set title = 'newer ' || id")
    until(lambda: count(look, "select count(*) from pgpipe.job where visible_at > now()") == 0)
    said = embedders.drain()
    check(look)
    assert "100 rows embedded" in said

    zombie.send_signal(signal.SIGCONT)

    until(lambda: count(look, STALE) == 100)
    check(look)


@pytest.mark.long  # test_soak.py has it among all other trouble
def test_backends_are_terminated(embedders: Embedders, database: Database, look: Connection) -> None:
    """Connections that break at any moment are made again; nothing is lost, and no lease has to run out."""
    populate(database, 3000)
    for _ in range(2):
        embedders.start("--batch", "64", slow=0.02, lease=300)
    until(lambda: count(look, STORED) > 0)
    for _ in range(4):
        look.execute(TERMINATE)
        before = count(look, STORED)
        until(lambda before=before: count(look, STORED) > before or settled(look))

    until(lambda: settled(look))

    check(look)


def test_changes_while_the_job_runs(embedders: Embedders, database: Database, look: Connection) -> None:
    """A row changed, emptied, deleted, re-keyed or inserted while its batch is at the model ends as it is."""
    populate(database, 50)
    embedders.start("--batch", "50", slow=3, lease=60)  # outlasts a call of the model
    until(lambda: count(look, LEASED) == 50)
    look.execute("update doc set body = 'changed' where id = 1")
    look.execute("update doc set title = null, body = '' where id = 2")
    look.execute("delete from doc where id = 3")
    look.execute("update doc set id = 400 where id = 4")
    look.execute("insert into doc values (3, 'back', 'again')")
    look.execute("delete from doc where id = 5; insert into doc values (5, 'title 5', repeat('body 5 ', 6))")

    until(lambda: settled(look))

    check(look)


@pytest.mark.long  # test_soak.py has it among all other trouble
def test_truncate_while_the_job_runs(embedders: Embedders, database: Database, look: Connection) -> None:
    """V6: TRUNCATE under a worker leaves nothing behind; what comes after it is embedded."""
    populate(database, 200)
    embedders.start("--batch", "100", slow=2)
    until(lambda: count(look, LEASED) > 0)
    look.execute("truncate doc")
    look.execute("insert into doc values (1, 'after', 'it')")

    until(lambda: settled(look) and count(look, STORED) == 1)

    check(look)
    assert count(look, STORED) == 1


@pytest.mark.long  # test_worker_faults.py has it without a process
def test_one_text_in_500_fails(embedders: Embedders, database: Database, look: Connection) -> None:
    """The bad rows are charged and in the end dead, with their error; all the others are embedded at once."""
    populate(database, 1000)
    look.execute("update doc set title = 'poison' where id % 500 = 1")
    look.execute("update pgpipe.embedding set max_attempts = 1")

    said = embedders.drain(poison="poison")

    assert "998 rows embedded" in said
    assert "2 failed" in said
    check(look, dead=2)
    look.execute("update doc set title = 'cured' where title = 'poison'")
    embedders.drain()
    check(look)


def test_a_model_that_always_fails(embedders: Embedders, database: Database, look: Connection) -> None:
    """No row is charged for a broken machine: the drain says so, and another one embeds everything."""
    populate(database, 100)

    broken = embedders.start("--drain", poison="o")  # which is in every text, and in the word that tells the two apart
    said, _ = broken.communicate(timeout=LONG)

    assert broken.returncode == 2
    assert "fails on any text: ValueError: poison" in said
    assert count(look, "select count(*) from pgpipe.job where attempts = 0 and lease_token is null") == 100
    embedders.drain()
    check(look)


def test_out_of_memory_above_a_batch_size(embedders: Embedders, database: Database, look: Connection) -> None:
    """The batch is halved until it fits, once; nobody is charged."""
    populate(database, 500)

    assert "500 rows embedded" in embedders.drain(room=7)

    check(look)


def test_a_service_that_is_down_for_a_while(
    embedders: Embedders, database: Database, look: Connection, tmp_path: Path
) -> None:
    """Nothing is charged while it is down; once it answers, everything is embedded."""
    down = tmp_path / "down"
    down.touch()
    populate(database, 200)
    embedders.start("--batch", "64", down=down)
    until(lambda: count(look, "select count(*) from pgpipe.job where last_error like '%service is down%'") > 0)
    assert count(look, "select max(attempts) from pgpipe.job") == 0
    down.unlink()

    until(lambda: settled(look))

    check(look)
    assert count(look, STORED) >= 200


@pytest.mark.parametrize("moment", ["load", "work"])
def test_sigterm_while_a_service_does_not_answer(
    embedders: Embedders, database: Database, look: Connection, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The embedder ends although its request is not answered, and gives its jobs back uncharged."""
    populate(database, 100)
    waits, over = threading.Event(), threading.Event()

    def rule(texts: list[str]) -> Answer:
        if moment == "load" or texts[0].startswith("title"):
            waits.set()
            over.wait()
        return 200, {}, vectors(texts)

    with Service() as service:
        service.rule = rule
        threading.Thread(target=service.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("PGPIPE_EMBEDDING__URL", service.url)
        monkeypatch.setenv("PGPIPE_EMBEDDING__TIMEOUT", "3600")
        embedder = embedders.start("--backend", "http", lease=3600)
        try:
            assert waits.wait(LONG)
            embedder.terminate()
            said, _ = embedder.communicate(timeout=LONG)  # the service has not answered yet
        finally:
            over.set()
            service.shutdown()

    assert (embedder.returncode, "Traceback" in said) == (0, False), said
    assert count(look, "select count(*) from pgpipe.job where lease_token is null and attempts = 0") == 100


def test_sigterm_while_a_model_hangs(embedders: Embedders, database: Database, look: Connection) -> None:
    """K14: the embedder ends by itself, without a word of its hanging thread, and its jobs come back uncharged."""
    populate(database, 100)
    embedder = embedders.start("--batch", "40", slow=3600, lease=3600)
    until(lambda: count(look, LEASED) == 80)

    embedder.terminate()
    said, _ = embedder.communicate(timeout=LONG)

    assert (embedder.returncode, "Traceback" in said) == (0, False), said
    assert "0 rows embedded" in said
    assert count(look, "select count(*) from pgpipe.job where lease_token is null and attempts = 0") == 100


def test_a_restore_with_triggers_off(embedders: Embedders, database: Database, look: Connection) -> None:
    """What came in behind the triggers is found by reconcile, and only that is embedded anew."""
    populate(database, 300)
    embedders.drain()
    with look.transaction():
        look.execute("set local session_replication_role = replica")
        look.execute("update doc set body = 'restored' where id % 10 = 0")
        look.execute("delete from doc where id % 10 = 1")
        look.execute("insert into doc select n, 'restored ' || n, null from generate_series(301, 320) n")
    look.execute("select pgpipe_internal.reconcile_rows(1, 1000)")
    assert count(look, "select count(*) from pgpipe.job") == 80

    embedders.drain()

    check(look)
