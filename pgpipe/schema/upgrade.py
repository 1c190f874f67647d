"""Migrate: yoyo's migrations once; then the files of sql/ and the rights, in one transaction, if anything differs."""

from dataclasses import dataclass, field
from pathlib import Path

from pgpipe.db import Connection, Database, translated
from pgpipe.db.encoding import require_encoding
from pgpipe.errors import UsageError
from pgpipe.log import get_logger
from pgpipe.schema import files
from pgpipe.schema.functions import apply_files
from pgpipe.schema.rights import assert_rights
from pgpipe.schema.version import found_version

log = get_logger(__name__)

LOCK = "select pg_try_advisory_lock(hashtext('pgpipe migrate'))"
AWAIT_LOCK = "select pg_advisory_lock(hashtext('pgpipe migrate'))"
LOCK_HOLDER = """
    select process.pid, process.usename from pg_catalog.pg_locks held
      join pg_catalog.pg_stat_activity process on process.pid = held.pid
     where held.locktype = 'advisory' and held.granted and held.objsubid = 1
       and held.database = (select base.oid from pg_catalog.pg_database base where base.datname = current_database())
       and (held.classid::bigint << 32 | held.objid::bigint) = hashtext('pgpipe migrate')
"""
# The owner of a schema may put tables with triggers there before the first migrate: they would run as who migrates.
FOREIGN = """
    select home.nspname, owner.rolname
      from pg_catalog.pg_namespace home
      join pg_catalog.pg_roles owner on owner.oid = home.nspowner
      join pg_catalog.pg_database base on base.datname = current_database()
      join pg_catalog.pg_roles caller on caller.rolname = current_user
     where home.nspname in ('pgpipe', 'pgpipe_internal', 'pgpipe_staging', 'pgpipe_target')
       and caller.rolsuper and not owner.rolsuper and owner.oid <> base.datdba
       and owner.rolname not in ('pgpipe_owner', 'pg_database_owner')
"""
MAY_CREATE_VECTOR = """
    select exists (select from pg_available_extensions where name = 'vector' and installed_version is null)
           and (select rolsuper from pg_roles where rolname = current_user)
           or exists (select from pg_available_extension_versions where name = 'vector' and trusted and not installed)
"""
CREATE_VECTOR = "create extension if not exists vector"
RAISE_FENCE = "select pgpipe_internal.raise_fence()"
CREATE_SCHEMA = "create schema if not exists pgpipe"


@dataclass
class Migrated:
    """What `migrate` did, by name; `missing` are extensions that some files wait for."""

    migrations: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)


def migrate(database: Database, folder: Path | None = None) -> Migrated:
    """Bring the database to this version. A second call finds nothing to do.

    Args:
        database: where.
        folder: migrations of the user's own, applied after pgpipe's.

    Raises:
        UsageError: a migration of the user's has the name of one of pgpipe's, or the database is newer than this code.
        Unreachable: no server answers.
        DatabaseError: a statement was refused; what was applied before it stays.
    """
    from pgpipe.schema.migrations import apply_migrations

    done = Migrated()
    with database.connect(autocommit=True, session=True) as conn, translated():
        _lock(conn)
        conn.execute("set client_min_messages = warning")
        require_encoding(conn)
        _refuse_foreign(conn)
        found = found_version(conn)
        conn.execute(CREATE_SCHEMA)
        create_vector(conn)
        done.migrations = apply_migrations(database, files.migrations())
        with conn.transaction():  # what is new has the rights of a new object until they are granted: none, or too many
            done.files, done.missing = apply_files(conn, found)
            conn.execute(RAISE_FENCE)
            assert_rights(conn, database.schema)
        if folder is not None:
            _refuse_our_names(folder)
            done.migrations += apply_migrations(database, folder)
    return done


def create_vector(conn: Connection) -> None:
    """Install pgvector where the server has it and this user may; vector commands say when it is missing."""
    if conn.execute(MAY_CREATE_VECTOR).fetchone() == (True,):
        conn.execute(CREATE_VECTOR)


def _lock(conn: Connection) -> None:
    """One migrate at a time. Whoever may connect can take this lock, so the log says who has it."""
    if conn.execute(LOCK).fetchone() == (True,):
        return
    for pid, user in conn.execute(LOCK_HOLDER).fetchall():
        log.warning("another migrate is running; waiting for it to end", process=pid, user=user)
    conn.execute(AWAIT_LOCK)


def _refuse_foreign(conn: Connection) -> None:
    """A superuser does not work in a schema of somebody else's."""
    for schema, owner in conn.execute(FOREIGN).fetchall():
        raise UsageError(
            f"the schema {schema} belongs to {owner}, whose code would run as you; migrate as that role, or drop the"
            " schema if pgpipe did not make it"
        )


def _refuse_our_names(folder: Path) -> None:
    """Yoyo knows a migration by its name alone: one that is called like ours would count as applied."""
    ours = {file.stem for file in files.migrations().iterdir()}
    for file in folder.iterdir():
        if file.stem in ours and file.suffix in {".sql", ".py"}:
            raise UsageError(f"{file}: pgpipe has a migration of that name; call it something else")
