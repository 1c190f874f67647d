"""A real cluster: PGPIPE_CITUS is the address of an empty database of its coordinator, with citus and vector."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from pgpipe.db import Connection, Database
from pgpipe.schema import migrate
from pgpipe.settings.model import DatabaseSettings
from tests.conftest import Cli, Configure, Lake, make_cli
from tests.flow.support import counts, load
from tests.sql.support import drain, embed, jobs, value

URL = os.environ.get("PGPIPE_CITUS", "")
pytestmark = pytest.mark.skipif(not URL, reason="PGPIPE_CITUS names no cluster")
WORDS = ("red apple", "green pear", "blue plum", "old apple pie", "plum jam", "fresh pear juice")
QUESTIONS = ["apple", "pear plum", '"apple pie"', "jam -old", "fresh"]
SEARCHES = {
    "text": "select key from pgpipe.text_search('product', %(words)s)",
    "vector": "select key from pgpipe.vector_search('product', '[1,0,0]'::vector) where %(words)s <> ''",
    "hybrid": "select key from pgpipe.hybrid_search('product', %(words)s, '[1,0,0]'::vector)",
}
COLOCATED = "select count(distinct colocation_id) from citus_tables where table_name::text ~ %s"


@pytest.fixture
def conn() -> Iterator[Connection]:
    """A session of the coordinator, whose database is migrated."""
    database = Database(DatabaseSettings(url=URL))
    migrate(database)
    with database.connect(autocommit=True) as conn:
        yield conn


@pytest.fixture
def cluster_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conn: Connection) -> Iterator[Cli]:
    """The command line, in a schema of its own."""
    schema = f"t_{uuid.uuid4().hex[:12]}"
    conn.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
    monkeypatch.setenv("PGPIPE_DATABASE__SCHEMA", schema)
    monkeypatch.delenv("PGPIPE_CITUS")  # it is no setting of pgpipe's
    conn.execute("select set_config('search_path', %s, false)", (f"{schema}, public",))
    yield make_cli(URL, tmp_path, monkeypatch)
    conn.execute("set client_min_messages = error")
    conn.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(schema)))
    conn.execute("select pgpipe_internal.drop_orphaned_embeddings(), pgpipe_internal.forget_search()")


def rows(n: int, **other: str) -> dict:
    return {"id": n, "text": f"{WORDS[n % 6]} {n}"} | other


def test_as_on_one_server(cluster_cli: Cli, conn: Connection, lake: Lake, configure: Configure) -> None:
    """Issue 18: both dates, the queue, a sweep and searches do on a cluster what they do on one server, row by row."""
    setting = {"mode": "snapshot", "key": ["id"], "max_deleted": "100%", "search": {"columns": {"text": "A"}}}
    found = {}
    for distribute in ("id", None):
        configure(**setting, distribute=distribute)
        lake.put("2026-01-01", "product", [rows(n) for n in range(200)])
        assert counts(load(cluster_cli, lake.url, "--date", "2026-01-01")["product", "import"]) == (200, 0, 0, 0)
        embedding = embed(conn, "product", ["text"])
        assert drain(conn, embedding) == 200
        changed = [rows(n, more="x") if n % 50 else {"id": n, "text": f"new plum {n}"} for n in range(20, 210)]
        lake.put("2026-01-02", "product", changed)
        assert counts(load(cluster_cli, lake.url, "--date", "2026-01-02")["product", "import"]) == (10, 3, 20, 177)
        assert len(jobs(conn, embedding)) == 33
        assert drain(conn, embedding) == 33
        sweep = "select enqueued, finished from pgpipe_internal.reconcile_rows(%s)"
        assert conn.execute(sweep, (embedding,)).fetchone() == (0, True)
        if distribute:
            assert value(conn, COLOCATED, "product") == 1
        answers = {
            (mode, words): [row[0] for row in conn.execute(statement.encode(), {"words": words}).fetchall()]
            for mode, statement in SEARCHES.items()
            for words in QUESTIONS
        }
        found[distribute] = (
            conn.execute("select id, text, more from product order by 1").fetchall(),
            conn.execute("select id, chunk, content_hash, vector::text from product_embedding order by 1").fetchall(),
            answers,
        )
        conn.execute("select pgpipe.disable_embedding('product')")
        conn.execute("drop table product")
    assert found["id"] == found[None]
