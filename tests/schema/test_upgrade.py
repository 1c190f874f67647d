"""Upgrades: what was released stays, a newer schema goes over a database with data, old workers go on or stop."""

import re
import shutil
import threading
import uuid
from pathlib import Path

import pytest
from psycopg import sql

from pgpipe import errors, schema
from pgpipe.db import Connection, Database
from pgpipe.embed import queue, reconcile
from pgpipe.schema import files, migrate, version
from pgpipe.settings.model import DatabaseSettings
from tests.conftest import Lake, Server, also_on_16
from tests.schema import frozen
from tests.schema.snapshot import snapshot
from tests.sql.fake_model import Fake, make_worker
from tests.sql.support import column, eventually, value

ROOT = Path(__file__).parents[2]
RELEASED = sorted(frozen.RELEASED.glob("*.sql"))
MADE = re.compile(r"^create or replace (?:function|procedure) (pgpipe\w*)\.(\w+)", re.MULTILINE)


def test_what_was_released_stays() -> None:
    """Released migrations and the sql/ of released versions are byte for byte what was released."""
    wrong = frozen.problems(ROOT, schema.VERSION, frozen.read(frozen.LIST.read_text(encoding="utf-8")))

    assert not wrong, "; ".join(wrong)


def tree(folder: Path, origin: Path = ROOT) -> Path:
    """A copy of the two SQL folders."""
    for name in ("migrations", "sql"):
        shutil.copytree(origin / name, folder / name)
    return folder


def test_a_release_freezes(tmp_path: Path) -> None:
    """After `make freeze` a changed migration, one that sorts before it, and a changed sql/ are each refused."""
    root = tree(tmp_path)
    text = frozen.freeze(root, 1, "# a comment\n")
    assert frozen.read(text) == frozen.checksums(root, 1)
    assert frozen.freeze(root, 1, text) == text
    (root / "migrations/0998_more.sql").write_text("-- More.\n")
    assert frozen.problems(root, 1, frozen.read(text)) == []

    (root / "migrations/0000_first.sql").write_text("-- Too early.\n")
    (root / "migrations/0001_schema.sql").write_text("-- Changed.\n")
    (root / "sql/api/70_status.sql").write_text("-- Changed.\n")

    assert [line.split()[0] for line in frozen.problems(root, 1, frozen.read(text))] == [
        "migrations/0001_schema.sql",
        "migrations/0000_first.sql",
        "version",
    ]
    with pytest.raises(ValueError, match="write a new migration"):
        frozen.freeze(root, 1, text)
    assert len(frozen.problems(root, 2, frozen.read(text))) == 2  # the next version may have another sql/


def newer(folder: Path) -> Path:
    """The release after this one: a migration that adds columns, a changed function, a raised version."""
    tree(folder)
    (folder / "migrations/0999_priority.sql").write_text(
        "alter table pgpipe.job add column priority int not null default 0;\n"
        "alter table pgpipe.load add column note text;\n"
    )
    queue = folder / "sql/internal/40_queue.sql"
    queue.write_text(queue.read_text(encoding="utf-8") + "-- changed\n", encoding="utf-8")
    numbers = folder / "sql/api/05_version.sql"
    raised = numbers.read_text(encoding="utf-8").replace(f"select {schema.VERSION}, ", f"select {schema.VERSION + 1}, ")
    numbers.write_text(raised, encoding="utf-8")
    return folder


def filled(server: Server, lake: Lake) -> Database:
    """A database of this tree's schema with data in it."""
    name = f"upgrade_{uuid.uuid4().hex[:12]}"
    server.create(name)
    database = Database(DatabaseSettings(url=server.at(name)))
    migrate(database)
    frozen.fill(database, lake)
    return database


def works(database: Database, lake: Lake) -> None:
    """Load a further date, embed what changed, search in each way, filter, reconcile, fill and use an online search."""
    lake.put("2026-01-02", "product", [{"id": n, "text": f"a new waterproof coat, number {n}"} for n in range(2, 6)])
    frozen.load(database, lake)
    make_worker(database, Fake()).drain()
    with database.connect(autocommit=True) as conn:
        assert value(conn, "select count(*) from pgpipe.job") == 0
        assert value(conn, "select count(*) from product_embedding") == 6
        assert len(column(conn, "select key from pgpipe.text_search('product', 'coats')")) == 4
        assert len(column(conn, "select key from pgpipe.hybrid_search('product', 'jacket', '[1,0,0]')")) == 6
        reconciles(conn)
        make_worker(database, Fake()).drain()
        filters(conn)
        speaks(conn)
        assert value(conn, "select count(*) from pgpipe.load") == 2


def reconciles(conn: Connection) -> None:
    """A change that no trigger saw is found, it alone."""
    conn.execute("set session_replication_role = replica")
    conn.execute("update product set text = 'an unseen jacket' where id = 1")
    conn.execute("reset session_replication_role")
    (embedding,) = queue.embeddings(conn)

    assert reconcile.reconcile(conn, embedding) == reconcile.Found(examined=6, enqueued=1)


def filters(conn: Connection) -> None:
    """The filter table is equal to its target, and a search that it answers finds the row."""
    conn.execute("select pgpipe.enable_filters('product', '{text}')")
    conn.execute("update product set text = 'an unseen jacket' where id = 1")
    found = "select key ->> 'id' from pgpipe.vector_search('product', '[1,0,0]', filter => %s)"

    assert column(conn, "select pgpipe_internal.repair_filters(embedding_id) from pgpipe.embedding") == [False]
    assert column(conn, found, '{"text": "an unseen jacket"}') == ["1"]


def speaks(conn: Connection) -> None:
    """A search with a language column, filled online before the upgrade or after it, serves and is kept."""
    if value(conn, "select to_regclass('article')") is None:  # 0.1.0's dump has none
        conn.execute(frozen.ARTICLES)
    conn.execute("call pgpipe.fill_search('article')")
    for statement in column(conn, "select * from pgpipe_internal.search_index_statements('article')"):
        conn.execute(statement.encode())
    conn.execute("select pgpipe_internal.finish_search('article')")
    conn.execute("insert into article values (3, 'Zelte', 'Häuser aus Stoff', 'german')")
    found = "select (key ->> 'id')::int from pgpipe.text_search('article', %s) order by 1"

    assert [column(conn, found, query) for query in ("Haus", "jackets", "Jacke")] == [[3], [2], [1]]


@also_on_16
def test_upgraded_is_as_new(server: Server) -> None:
    """An upgraded schema is that of a fresh install, object by object: nothing old is left, least of all callable."""
    fresh = Database(DatabaseSettings(url=server.at(server.template)))
    with fresh.connect() as conn:
        expected = snapshot(conn)
    assert sum(line.startswith("functions: ") for line in expected) > 100
    for release in RELEASED:
        database = frozen.restore(server, release, f"upgrade_{uuid.uuid4().hex[:12]}")
        migrate(database)
        with database.connect() as conn:
            assert snapshot(conn) == expected, release.name


@pytest.mark.parametrize("release", RELEASED, ids=lambda file: file.stem)
def test_no_old_function_is_callable(release: Path, server: Server) -> None:
    """Issue 11: the functions are those that sql/ makes; of the calls of the release only public ones are answered."""
    made = {found.groups() for name in ("api", "internal") for found in MADE.finditer(texts(name))}
    public = {name for home, name in made if home == "pgpipe"}
    database = frozen.restore(server, release, f"upgrade_{uuid.uuid4().hex[:12]}")
    with database.connect(autocommit=True) as conn:
        calls = column(conn, "select oid::regprocedure::text from pg_proc where pronamespace = 'pgpipe'::regnamespace")
        migrate(database)
        there = conn.execute("""
            select pronamespace::regnamespace::text, proname::text from pg_proc
             where pronamespace::regnamespace::text in ('pgpipe', 'pgpipe_internal')
        """)
        assert set(there.fetchall()) == made
        answering = [call for call in calls if value(conn, "select to_regprocedure(%s)", call) is not None]

    assert len(calls) > 100 > len(answering)
    assert {re.split(r"[.(]", call)[1] for call in answering} <= public


def texts(folder: str) -> str:
    """All of a folder of sql/."""
    return "\n".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / "sql" / folder).iterdir()))


@pytest.mark.parametrize("number", [1, 2])
def test_a_worker_of_an_earlier_release_stops(database: Database, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Issue 11: 0.1.0 asks for two numbers, and stops with a sentence that says what to do."""
    worker = make_worker(database, Fake())
    monkeypatch.setattr(version, "VERSION", number)  # the rule has been the same since 0.1.0

    with pytest.raises(errors.SchemaMissing, match=f"serves version 3 and newer; this is {number}: upgrade this"):
        worker.run()


def test_a_strange_function_goes(server: Server) -> None:
    """The schema is pgpipe's: what else is in there goes with an upgrade, or stops it by name if something uses it."""
    database = frozen.restore(server, RELEASED[-1], f"upgrade_{uuid.uuid4().hex[:12]}")
    with database.connect(autocommit=True) as conn:
        conn.execute("create function pgpipe.leak() returns int security definer language sql return 1")
        conn.execute("create view public.used as select pgpipe.leak()")
        conn.execute("create view public.version as select * from pgpipe.schema_version()")
        with pytest.raises(
            errors.UsageError, match=r"pgpipe\.leak\(\), which .*rule _RETURN on view public\.used.*Drop"
        ):
            migrate(database)
        assert value(conn, "select (pgpipe.schema_version()).version") == 2  # all or nothing
        conn.execute("drop view public.used")

        migrate(database)

        assert value(conn, "select to_regproc('pgpipe.leak')") is None
        assert value(conn, "select version from public.version") == schema.VERSION


@also_on_16
@pytest.mark.parametrize("release", RELEASED, ids=lambda file: file.stem)
def test_from_a_released_schema(release: Path, server: Server, lake: Lake) -> None:
    """Each released schema with data in it, upgraded to this tree's, goes on as if it had always been so."""
    database = frozen.restore(server, release, f"upgrade_{uuid.uuid4().hex[:12]}")
    migrate(database)
    works(database, lake)
    assert migrate(database) == schema.Migrated()


def test_a_dump_is_a_database_of_the_release(server16: Server, server: Server, lake: Lake, tmp_path: Path) -> None:
    """What `make freeze` keeps brings the whole schema, rows, vectors and the queue, on every server of the tests."""
    server16.execute(sql.SQL("drop database if exists released"))
    file = tmp_path / "now.sql"
    file.write_bytes(frozen.dump(server16, lake.path))

    database = frozen.restore(server, file, f"upgrade_{uuid.uuid4().hex[:12]}")

    assert migrate(database) == schema.Migrated([], [])
    works(database, lake)


def test_to_the_next_schema(server: Server, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new migration, a changed function and a raised version go over data; this code goes on to serve it."""
    database = filled(server, lake)
    monkeypatch.setattr(files, "ROOT", newer(tmp_path / "new"))
    with monkeypatch.context() as next_release:
        next_release.setattr(version, "VERSION", schema.VERSION + 1)
        done = migrate(database)

    assert (done.migrations, done.files) == (["0999_priority"], ["api/05_version.sql", "internal/40_queue.sql"])
    works(database, lake)
    with pytest.raises(errors.UsageError, match="newer than this pgpipe"):
        migrate(database)


def test_an_old_worker_goes_on_or_stops(
    server: Server, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that runs during the upgrade embeds on; when its version is served no longer it stops and says why."""
    database = filled(server, lake)
    worker = make_worker(database, Fake())
    ended: list[BaseException] = []

    def run() -> None:
        try:
            worker.run()
        except errors.SchemaMissing as exc:
            ended.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        with database.connect(autocommit=True) as conn:
            eventually(lambda: value(conn, "select count(*) from pgpipe.job") == 0)
            monkeypatch.setattr(files, "ROOT", newer(tmp_path / "new"))
            migrate(database)  # with this VERSION, which the worker reads in this same process
            conn.execute("update product set text = 'a jacket after the upgrade' where id = 2")
            eventually(lambda: value(conn, "select count(*) from pgpipe.job") == 0)
            assert not ended

            conn.execute(
                "create or replace function pgpipe.schema_version(out version int, out oldest int) immutable"
                " language sql as $$ select 9, 9 $$"
            )
            thread.join(120)
    finally:
        worker.stop.set()
        thread.join()
    assert "upgrade this installation" in str(ended[0])
