"""Migrate: what it applies, when again, and what it leaves alone."""

import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from pgpipe import errors, schema
from pgpipe.db import Connection, Database
from pgpipe.schema import Migrated, files, migrate, upgrade
from pgpipe.settings.model import DatabaseSettings
from tests.conftest import Server, also_on_16
from tests.schema.snapshot import snapshot
from tests.schema.test_catalogue import DECLARED, DEFINERS, OPEN, READ
from tests.sql.support import column, drain, embed, eventually, make_docs, sqlstate, value

SQL = Path(__file__).parents[2] / "sql"
SQL_FILES = schema.sql_files()
NUMBERED = [name for name in SQL_FILES if not name.startswith("templates/")]
MIGRATIONS = sorted(file.stem for file in (SQL.parent / "migrations").glob("*.sql"))
VECTOR_FILES = [
    name for name in SQL_FILES if (SQL / name).read_text(encoding="utf-8").startswith("-- requires: vector")
]
ENABLE = "select pgpipe.enable_embedding('doc', '{title}', 'fake', 3)"


def empty(server: Server) -> Database:
    """A new database without anything in it."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    server.create(name)
    return Database(DatabaseSettings(url=server.at(name)))


def without_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let migrate find that it may not create pgvector."""
    monkeypatch.setattr(upgrade, "create_vector", lambda _conn: None)


def test_once_and_then_nothing(server: Server) -> None:
    """The first call applies every migration and file, the second none."""
    database = empty(server)

    first = migrate(database)

    assert (first.migrations, first.files, first.missing) == (MIGRATIONS, SQL_FILES, set())
    assert migrate(database) == Migrated()


@also_on_16
def test_a_changed_file_is_applied_again(any_database: Database, conn: Connection) -> None:
    """A file whose checksum differs from what was applied is applied, it alone; what was declared still works."""
    make_docs(conn, 3)
    embedding = embed(conn)
    conn.execute("update pgpipe.sql_file set checksum = 'older' where name = 'internal/40_queue.sql'")
    conn.execute("""
        create or replace function pgpipe_internal.extend_lease(
            embedding_id int, token uuid, keys jsonb[], lease interval default '5 minutes')
            returns int language sql as 'select -1'
    """)

    assert migrate(any_database) == Migrated(files=["internal/40_queue.sql"])

    assert value(conn, "select pgpipe_internal.extend_lease(1, gen_random_uuid(), '{}')") == 0
    assert drain(conn, embedding) == 3
    assert migrate(any_database) == Migrated()


@also_on_16
def test_every_file_may_be_applied_again(any_database: Database, conn: Connection) -> None:
    """All of sql/ over itself, under tables that use it: nothing fails, nothing is lost."""
    make_docs(conn, 3)
    embedding = embed(conn)
    conn.execute("select pgpipe.enable_search('doc', '{title=>A}')")
    conn.execute("update pgpipe.sql_file set checksum = ''")

    assert migrate(any_database).files == SQL_FILES

    assert drain(conn, embedding) == 3
    assert len(column(conn, "select key from pgpipe.hybrid_search('doc', 'title', '[1,0,0]')")) == 3


@pytest.mark.parametrize("place", [0, 10, len(NUMBERED) - 1, len(NUMBERED)])
def test_killed_between_files(server18: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    """K6: wherever migrate is killed, none of sql/ is there, and the next one makes what an unharmed one makes."""
    database = empty(server18)
    for folder in ("migrations", "sql"):
        shutil.copytree(schema.ROOT / folder, tmp_path / folder)
    number = Path(SQL_FILES[place]).name[:2] if place < len(NUMBERED) else "99"
    (tmp_path / "sql/internal" / f"{number}_0_kill.sql").write_text("select pg_terminate_backend(pg_backend_pid());")
    with monkeypatch.context() as killed:
        killed.setattr(files, "ROOT", tmp_path)
        with pytest.raises(errors.Unreachable):
            migrate(database)
    with database.connect() as conn:
        assert value(conn, "select to_regclass('pgpipe.job') is not null")
        ours = "select proname::text from pg_proc where pronamespace::regnamespace::text ~ '^pgpipe(_internal)?$'"
        assert column(conn, ours) == []

    assert migrate(database).files == SQL_FILES

    unharmed = Database(DatabaseSettings(url=server18.at(server18.template)))
    with database.connect() as conn, unharmed.connect() as other:
        assert snapshot(conn) == snapshot(other)


BY_HAND = [
    "grant execute on all functions in schema pgpipe_internal to public",
    "alter function pgpipe_internal.require_all_rows owner to current_user",
    "alter table pgpipe.job owner to current_user",
    "revoke all on pgpipe.job, pgpipe.load from pgpipe_loader, pgpipe_embedder",
    "revoke usage on schema pgpipe from pgpipe_reader",
]


def test_rights_are_asserted(database: Database) -> None:
    """K6: a migrate that finds nothing to apply still gives back what owners and rights were, also with the roles."""
    with database.connect(autocommit=True) as conn:
        conn.execute(
            "grant execute on function pgpipe_internal.require_all_rows, pgpipe_internal.note_fingerprint to public"
        )
        assert migrate(database) == Migrated()
        open_ = "select proname::text from pg_proc where prosecdef and has_function_privilege('public', oid, 'execute')"
        expected = {name for name, why in DEFINERS.items() if why in {OPEN, READ, DECLARED}}
        assert set(column(conn, open_ + " and pronamespace::regnamespace::text ~ '^pgpipe(_internal)?$'")) == expected
        conn.execute("select pgpipe.create_roles()")
        migrate(database)
        before = snapshot(conn)
        for statement in BY_HAND:
            conn.execute(statement.encode())
            assert snapshot(conn) != before, statement

            assert migrate(database) == Migrated()

            assert snapshot(conn) == before, statement
        conn.execute("grant select on pgpipe.job to pg_monitor")  # what is given beyond stays
        migrate(database)
        assert value(conn, "select has_table_privilege('pg_monitor', 'pgpipe.job', 'select')")


WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


def test_no_lock_where_nothing_differs(database: Database) -> None:
    """K6: a migrate that finds nothing to do waits for nobody who alters a table, pgpipe's or a target."""
    done: list[Migrated] = []
    thread = threading.Thread(target=lambda: done.append(migrate(database)))
    with database.connect(autocommit=True) as conn, database.connect() as busy:
        make_docs(conn, 1)
        embed(conn)
        conn.execute("select pgpipe.create_roles()")
        migrate(database)
        for table in ("doc", "doc_embedding", "pgpipe.job", "pgpipe.embedding", "pgpipe.sql_file"):
            busy.execute(f"alter table {table} set (fillfactor = 90)".encode())  # its row in pg_class is locked too
        busy.execute("lock table doc, doc_embedding, pgpipe.job in access exclusive mode")

        thread.start()
        eventually(lambda: bool(done) or value(conn, WAITING) > 0)
        before_the_end = list(done)

        busy.rollback()
        thread.join()
    assert before_the_end == [Migrated()]


def test_two_at_once(server: Server) -> None:
    """Two migrates of an empty database both succeed, and between them each thing is applied once."""
    database = empty(server)
    done: list[Migrated] = []
    threads = [threading.Thread(target=lambda: done.append(migrate(database))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(len(d.migrations) for d in done) == [0, 0, len(MIGRATIONS)]
    assert [f for d in done for f in d.files] == SQL_FILES


def test_without_pgvector(plain_database: Database) -> None:
    """A server that has no pgvector: everything but vectors is there, and says what is missing."""
    assert migrate(plain_database) == Migrated(missing={"vector"})

    with plain_database.connect(autocommit=True) as conn:
        functions = column(
            conn,
            "select proname::text from pg_proc where pronamespace::regnamespace::text ~ '^pgpipe(_internal)?$'",
        )
        assert {"text_search", "enable_search", "merge"} <= set(functions)
        assert not {"vector_search", "hybrid_search", "reconcile_rows"} & set(functions)
        make_docs(conn, 3)
        conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
        conn.execute("select pgpipe.refresh_search('doc')")
        assert column(conn, "select key ->> 'id' from pgpipe.text_search('doc', 'where is title 2?', 1)") == ["2"]
        conn.execute("insert into doc values (9, 'new', 'row', 0)")
        with pytest.raises(psycopg.Error) as refused:
            conn.execute(ENABLE)
    assert refused.value.sqlstate == "PP006"
    assert "create extension vector" in (refused.value.diag.message_hint or "")


def test_pgvector_that_comes_later(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vector functions wait for the extension; the first migrate after it brings them."""
    database = empty(server)
    without_vector(monkeypatch)
    assert migrate(database).missing == {"vector"}
    with database.connect(autocommit=True) as conn:
        make_docs(conn, 2)
        assert sqlstate(conn, ENABLE) == "PP006"
        assert sqlstate(conn, "select pgpipe.vector_search('doc', '[1,0,0]')") == "42883"
        conn.execute("create extension vector")

        assert migrate(database) == Migrated(files=VECTOR_FILES)

        assert drain(conn, embed(conn)) == 2
        assert len(column(conn, "select key from pgpipe.vector_search('doc', '[1,0,0]')")) == 2


def test_pgvector_in_another_schema(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extension is used where it lies."""
    database = empty(server)
    without_vector(monkeypatch)
    with database.connect(autocommit=True) as conn:
        conn.execute('create schema "Ext Schema"')
        conn.execute('create extension vector schema "Ext Schema"')

        assert migrate(database).files == SQL_FILES

        make_docs(conn, 2)
        embed(conn)
        assert column(conn, """select key from pgpipe.vector_search('doc', '[1,0,0]'::"Ext Schema".vector)""") == []


@contextmanager
def without_queue_role(server: Server) -> Iterator[None]:
    """As on a server that no superuser ever migrated a database of."""
    role, away = sql.Identifier("pgpipe_queue"), sql.Identifier("pgpipe_queue_away")
    with psycopg.connect(server.url, autocommit=True) as conn:
        is_there = conn.execute("select to_regrole('pgpipe_queue') is not null").fetchone() == (True,)
        if is_there:
            conn.execute(sql.SQL("alter role {} rename to {}").format(role, away))
        yield
        if is_there:
            conn.execute(sql.SQL("alter role {} rename to {}").format(away, role))


@also_on_16
def test_no_superuser_is_needed(server: Server) -> None:
    """The owner of a database may migrate it and use everything; only pgvector may have to be made by another."""
    name = f"owner_{uuid.uuid4().hex[:12]}"
    server.execute(sql.SQL("create role {} login").format(sql.Identifier(name)))
    server.execute(sql.SQL("create database {0} owner {0}").format(sql.Identifier(name)))
    database = Database(DatabaseSettings(url=psycopg.conninfo.make_conninfo(server.at(name), user=name)))
    with without_queue_role(server):
        assert migrate(database).missing <= {"vector"}
    with psycopg.connect(server.at(name), autocommit=True) as conn:
        conn.execute("create extension if not exists vector")

    assert migrate(database).missing == set()

    with database.connect(autocommit=True) as conn:
        make_docs(conn, 2)
        assert drain(conn, embed(conn)) == 2
        conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
        conn.execute("select pgpipe.refresh_search('doc')")
        assert len(column(conn, "select key from pgpipe.hybrid_search('doc', 'title', '[1,0,0]')")) == 2
