"""The database, examined on one connection: its server, the rights of the login, what is declared, and its tables."""

from collections.abc import Callable, Iterator

from pgpipe.db import Connection, Database, translated
from pgpipe.doctor import declared, distributed, rights, server, tables
from pgpipe.doctor.finding import Finding, failure, ok
from pgpipe.errors import DatabaseError, SchemaMissing
from pgpipe.schema import VERSION, require_version
from pgpipe.settings.model import Settings

Check = Callable[[Connection, Settings], Iterator[Finding]]
ANYWHERE: tuple[Check, ...] = server.CHECKS
MIGRATED: tuple[Check, ...] = (*rights.CHECKS, *declared.CHECKS, *tables.CHECKS, *distributed.CHECKS)


def examine(settings: Settings, database: Database) -> Iterator[Finding]:
    """Every check, in which nothing is written."""
    with database.connect(autocommit=True) as conn, translated():
        for check in ANYWHERE:
            yield from check(conn, settings)
        try:
            require_version(conn)
        except SchemaMissing as exc:
            yield failure("schema", str(exc), exit_code=exc.exit_code)
            return
        except DatabaseError as exc:  # not even let into the schema
            yield failure("rights", f"{conn.info.user}: {exc}", "grant it one of the roles of `pgpipe roles`")
            return
        yield ok("schema", f"version {VERSION}")
        for check in MIGRATED:
            yield from check(conn, settings)
