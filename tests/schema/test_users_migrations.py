"""Migrations of a user's own folder, and versions that do not fit."""

from pathlib import Path

import pytest
from psycopg import sql

from pgpipe import errors, schema
from pgpipe.db import Connection, Database
from pgpipe.schema import Migrated, migrate
from tests.conftest import Server, also_on_16
from tests.schema.test_migrate import MIGRATIONS, empty
from tests.sql.support import value


def test_a_users_own_folder_comes_after(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Migrations of one's own use pgpipe's functions, make tables where the user's lie, and run once, in silence."""
    database = empty(server)
    create = "create table doc (id int primary key, title text); select pgpipe.enable_search('doc', '{title=>A}')"
    (tmp_path / "0001_doc.sql").write_text(create)

    assert migrate(database, tmp_path).migrations == [*MIGRATIONS, "0001_doc"]
    assert migrate(database, tmp_path) == Migrated()
    (tmp_path / "0002_row.sql").write_text("insert into doc values (1, 'jacket')")
    assert migrate(database, tmp_path).migrations == ["0002_row"]
    assert migrate(database) == Migrated()
    with database.connect() as conn:
        assert value(conn, "select count(*) from pgpipe.text_search('public.doc', 'jackets')") == 1
    assert capsys.readouterr().out == ""


def test_a_users_migration_of_our_name(server: Server, tmp_path: Path) -> None:
    """It would count as applied, so it is refused by name."""
    (tmp_path / "0001_schema.sql").write_text("create table doc (id int)")

    with pytest.raises(errors.UsageError, match="0001_schema"):
        migrate(empty(server), tmp_path)


def test_a_users_migration_that_fails(server: Server, tmp_path: Path) -> None:
    """The server's sentence, and no trace of it; pgpipe's own schema stays."""
    database = empty(server)
    (tmp_path / "0001_bad.sql").write_text("create table doc (id int); select nonsense;")

    with pytest.raises(errors.DatabaseError, match="nonsense"):
        migrate(database, tmp_path)

    assert migrate(database) == Migrated()
    with database.connect() as conn:
        assert value(conn, "select to_regclass('doc')") is None


def set_version(conn: Connection, version: int, oldest: int) -> None:
    """What another release of pgpipe would have left."""
    values = sql.SQL("select {}, {}").format(version, oldest).as_string()
    conn.execute(
        f"create or replace function pgpipe.schema_version(out version int, out oldest int) immutable"
        f" language sql as $$ {values} $$".encode()
    )


@also_on_16
def test_the_version_is_the_databases(conn: Connection) -> None:
    """What the code needs is what its own migrate makes."""
    version, oldest = conn.execute("select * from pgpipe.schema_version()").fetchone()
    assert version == schema.VERSION
    assert oldest <= version


@pytest.mark.parametrize(
    ("version", "oldest", "word"),
    [(0, 0, "run `pgpipe migrate`"), (9, 9, "upgrade this installation"), (9, 1, None)],
    ids=["older", "newer", "newer, serves us"],
)
def test_what_does_not_fit_stops(
    any_database: Database, conn: Connection, version: int, oldest: int, word: str
) -> None:
    """An older database, and a newer one that no longer serves this code; one that does is worked with."""
    set_version(conn, version, oldest)
    if word is None:
        schema.require_version(conn)
    else:
        with pytest.raises(errors.SchemaMissing, match=word):
            schema.require_version(conn)
    if version > schema.VERSION:
        with pytest.raises(errors.UsageError, match="newer than this pgpipe"):
            migrate(any_database)
