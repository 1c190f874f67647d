"""The version of the schema: which one this code fits, and which one a database has."""

from pgpipe.db import Connection, translated
from pgpipe.errors import SchemaMissing, UsageError

VERSION = 3  # of the schema that this code fits; pgpipe.schema_version says which one a database has
FOUND = "select version, oldest from pgpipe.schema_version()"
KNOWN = "select to_regprocedure('pgpipe.schema_version()') is not null"


def require_version(conn: Connection) -> None:
    """Check that this code fits the database; cheap enough for every round of a worker.

    Raises:
        SchemaMissing: `pgpipe migrate` has not run, or not with this version, or a newer one has run that this code no
            longer fits.
    """
    with translated():
        version, oldest = conn.execute(FOUND).fetchone() or (0, 0)
    if version < VERSION:
        raise SchemaMissing(
            f"the database has schema version {version}, this pgpipe needs {VERSION}; run `pgpipe migrate`"
        )
    if oldest > VERSION:
        raise SchemaMissing(
            f"the database was migrated by a newer pgpipe, whose schema serves version {oldest} and newer; this is"
            f" {VERSION}: upgrade this installation and start it again"
        )


def is_migrated(conn: Connection) -> bool:
    """Whether any version of the schema is there."""
    with translated():
        known = conn.execute(KNOWN).fetchone()
    return bool(known and known[0])


def found_version(conn: Connection) -> int:
    """The version that is there, 0 for none.

    Raises:
        UsageError: it is newer than this code. An older `migrate` would put its older functions over newer ones.
    """
    known = conn.execute(KNOWN).fetchone()
    found = conn.execute(FOUND).fetchone() if known and known[0] else None
    if found and found[0] > VERSION:
        raise UsageError(
            f"the database has schema version {found[0]}, which is newer than this pgpipe's {VERSION};"
            " upgrade this installation"
        )
    return int(found[0]) if found else 0
