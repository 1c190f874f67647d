"""Migrations, which run once: yoyo on our connection. Only `pgpipe migrate` imports it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI

from pgpipe.db import Connection, Database


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc] # yoyo ships no types
    """Yoyo on our connection, with its tables in our schema and a lock that a crash releases."""

    schema: str | None = "pgpipe"

    def connect(self, dburi: DatabaseURI) -> Connection:
        database: Database = dburi.args["database"]
        return database.connect(autocommit=True)

    @contextmanager
    def lock(self, timeout: float = 10) -> Iterator[None]:  # noqa: ARG002 - our caller holds the lock
        yield

    def copy(self) -> "_Steps":
        return _Steps(self.uri, self.migration_table)


class _Steps(_Backend):
    """The connection that the migrations themselves run on, with the search_path that its user has."""

    schema = None


def apply_migrations(database: Database, folder: Path) -> list[str]:
    """Run those of a folder that have not run yet; returns their names."""
    uri = DatabaseURI("postgresql+psycopg", None, None, None, None, None, {"database": database})
    with _Backend(uri, "_yoyo_migration") as backend:
        backend.init_database()
        pending = backend.to_apply(read_migrations(str(folder)))
        with redirect_stdout(io.StringIO()):  # yoyo prints what a `select pgpipe.enable_search(…)` returns
            backend.apply_migrations(pending)
        return [migration.id for migration in pending]
