"""Logical replication: a publication for all tables, as Debezium makes one, and a subscriber with its own pgpipe."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import pgpipe
from pgpipe.db import Connection, Database
from pgpipe.db.embedded import leave_embedded, start_embedded
from pgpipe.embed import queue, reconcile
from pgpipe.schema import migrate
from pgpipe.settings.model import DatabaseSettings
from pgpipe.settings.sources import load_settings
from tests.conftest import Lake
from tests.fixtures.servers import FAST, let_in
from tests.schema import frozen
from tests.sql.fake_model import Fake, make_worker
from tests.sql.support import column, drain, eventually, make_docs, stored, value

ENTITIES = {
    "product": {"key": ["id"], "mode": "upsert", "bad_values": "reject", "search": {"columns": {"text": "A"}}},
    "stock": {"key": ["id"], "mode": "snapshot"},
    "event": {"mode": "append"},
}
WITHOUT_KEY = """
    select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and c.relpersistence = 'p' and n.nspname !~ '^(pg_|information_schema)'
       and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary and i.indisvalid)
"""
CHANGES = """
    select count(*) from pg_logical_slot_peek_binary_changes(
           's', null, null, 'proto_version', '1', 'publication_names', 'p')
"""


@pytest.fixture(scope="module")
def logical() -> Iterator[str]:
    """A server that decodes its log."""
    folder = Path(tempfile.mkdtemp(prefix="pgpipe-logical-", dir=FAST))
    with psycopg.connect(start_embedded(folder / "data"), autocommit=True) as conn:
        for setting in ("wal_level = logical", "fsync = off", "autovacuum = off"):
            conn.execute(f"alter system set {setting}".encode())
    leave_embedded(folder / "data")
    yield start_embedded(folder / "data")
    leave_embedded(folder / "data")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def published(logical: str) -> Database:
    """A migrated database whose every table is published."""
    database = Database(DatabaseSettings(url=logical))
    with database.connect(autocommit=True) as conn:
        assert value(conn, "show wal_level") == "logical"
        conn.execute("create publication p for all tables")
        conn.execute("select pg_create_logical_replication_slot('s', 'pgoutput')")
    migrate(database)
    return database


def load(database: Database, lake: Lake) -> None:
    """Load every entity, each in its mode; it must succeed."""
    settings = load_settings(options={"source": {"url": lake.url}, "entity": ENTITIES})
    report = pgpipe.Pipeline(settings, [pgpipe.ParquetImporter(), pgpipe.SearchIndexer()], database).run()
    assert report.exit_code == 0, report.failures


def put(lake: Lake, date: str, first: int, **more: object) -> None:
    """Four rows of each entity, the first of them of this number, and one that cannot be stored."""
    rows = [{"id": n, "text": f"a rain jacket, number {n}"} | more for n in range(first, first + 4)]
    for entity in ENTITIES:
        lake.put(date, entity, rows)
    lake.put(date, "product", [{"id": first + 90, "text": "a\0b"}], name="part-1.parquet")


def embed(conn: Connection, database: Database) -> None:
    """Declare, drain, change rows by statements, drain; a batch of a week ago is forgotten on the way."""
    conn.execute(frozen.EMBED)
    conn.execute("select pgpipe.enable_filters('product', '{text}')")
    assert make_worker(database, Fake()).drain().embedded == {("public", "product"): 4}
    conn.execute("update pgpipe.finished set finished_at = now() - interval '8 days'")
    conn.execute("update product set text = 'changed' where id = 1")
    conn.execute("update product set id = 20 where id = 2")
    conn.execute("delete from product where id = 3")
    make_worker(database, Fake()).drain()
    assert value(conn, "select count(*) from pgpipe.finished where finished_at < now() - interval '7 days'") == 0


def unseen(conn: Connection, database: Database) -> None:
    """A change that no trigger saw is reconciled."""
    conn.execute("set session_replication_role = replica")
    conn.execute("update product set text = 'unseen' where id = 1")
    conn.execute("reset session_replication_role")
    (embedding,) = queue.embeddings(conn)
    assert reconcile.reconcile(conn, embedding).enqueued == 1
    make_worker(database, Fake()).drain()


def search_online(conn: Connection) -> None:
    """A search column that a trigger keeps, then another in its place."""
    conn.execute(frozen.ARTICLES)
    for change in ("", "select pgpipe.alter_search('article', '{title=>A}')"):
        if change:
            conn.execute(change.encode())
        conn.execute("call pgpipe.fill_search('article')")
        for statement in column(conn, "select * from pgpipe_internal.search_index_statements('article')"):
            conn.execute(statement.encode())
        conn.execute("select pgpipe_internal.finish_search('article')")
        conn.execute("select pgpipe.refresh_search('article')")
    assert column(conn, "select key ->> 'id' from pgpipe.text_search('article', 'jackets')") == ["2"]


def test_all_tables_are_published(published: Database, lake: Lake) -> None:
    """K11: loads in every mode, embedding, reconciling, filters and online search work; no table lacks a key."""
    put(lake, "2026-01-01", 1)
    load(published, lake)
    with published.connect(autocommit=True) as conn:
        embed(conn, published)
        unseen(conn, published)
        search_online(conn)
        put(lake, "2026-01-02", 3, size=2**40, note="new")
        load(published, lake)
        make_worker(published, Fake()).drain()

        counts = "select (select count(*) from product), (select count(*) from stock), (select count(*) from event)"
        assert conn.execute(counts).fetchone() == (6, 4, 8)
        assert value(conn, "select count(*) from product_embedding") == 6
        assert column(conn, "select pgpipe_internal.repair_filters(embedding_id) from pgpipe.embedding") == [False]
        assert column(conn, WITHOUT_KEY) == []
        assert value(conn, "select count(*) from pgpipe.rejected_row") == 2
        assert value(conn, CHANGES) > 100
        conn.execute("update pgpipe.sql_file set checksum = ''")
        migrate(published)
        for statement in ("disable_filters('product')", "disable_embedding('product')", "disable_search('article')"):
            conn.execute(f"select pgpipe.{statement}".encode())


WRONG = """
    select id from doc full join doc_embedding stored using (id)
     where stored.content_hash is distinct from pgpipe_internal.content_hash(concat_ws(chr(10), title, body))
"""
SUBSCRIBE = """
    create subscription s connection {} publication docs
      with (create_slot = false, slot_name = 'docs', copy_data = false)
"""


@pytest.fixture
def replicated(logical: str) -> Iterator[tuple[Connection, Database]]:
    """A publisher of `doc`, and a database with a pgpipe of its own that subscribes to it."""
    urls = {name: make_conninfo(logical, dbname=name) for name in ("publisher", "subscriber")}
    with psycopg.connect(logical, autocommit=True) as conn:
        for name in urls:
            conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    publisher, subscriber = (Database(DatabaseSettings(url=url)) for url in urls.values())
    let_in(publisher, Path(str(conninfo_to_dict(logical)["host"])).owner())
    migrate(subscriber)
    with publisher.connect(autocommit=True) as source, subscriber.connect(autocommit=True) as conn:
        make_docs(source)
        source.execute("create publication docs for table doc")
        source.execute("select pg_create_logical_replication_slot('docs', 'pgoutput')")  # a server waits for itself
        make_docs(conn)
        conn.execute(sql.SQL(SUBSCRIBE).format(urls["publisher"]))
        yield source, subscriber
        conn.execute("alter subscription s disable; alter subscription s set (slot_name = none); drop subscription s")


def test_a_subscriber_with_a_pgpipe_of_its_own(replicated: tuple[Connection, Database]) -> None:
    """Apply fires no statement triggers: a sweep finds what it brought, changed and deleted. Words are found."""
    source, subscriber = replicated
    with subscriber.connect(autocommit=True) as conn:
        conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
        embedding = value(conn, "select pgpipe.enable_embedding('doc', '{title,body}', 'fake', 3)")
        drain(conn, embedding)
        source.execute("insert into doc select n, 'title ' || n, 'body ' || n, n from generate_series(1, 3) n")
        eventually(lambda: value(conn, "select count(*) from doc") == 3)
        make_worker(subscriber, Fake()).drain()
        (declared,) = queue.embeddings(conn)
        reconcile.reconcile(conn, declared)
        drain(conn, embedding)
        assert stored(conn) == [1, 2, 3]

        source.execute("update doc set body = 'lamp' where id = 1")
        source.execute("delete from doc where id = 2")
        source.execute("insert into doc values (4, 'title 4', 'stove', 4)")
        eventually(lambda: column(conn, "select id from doc order by id") == [1, 3, 4])
        eventually(lambda: value(conn, "select body from doc where id = 1") == "lamp")
        assert column(conn, "select key from pgpipe.job") == []
        assert column(conn, "select key ->> 'id' from pgpipe.text_search('doc', 'lamp')") == ["1"]

        assert reconcile.reconcile(conn, declared).enqueued == 3
        make_worker(subscriber, Fake()).drain()

        assert column(conn, WRONG) == []
        assert stored(conn) == [1, 3, 4]
        assert value(conn, "select coverage from pgpipe.embedding_status") == 1
