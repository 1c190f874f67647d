"""Migrate: yoyo's migrations once, then the files of sql/ whose checksum changed."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import sql

from pgpipe.db import Connection, Database, translated
from pgpipe.errors import SchemaMissing, UsageError

LOCK = "select pg_advisory_lock(hashtext('pgpipe migrate'))"
FOUND = "select version, oldest from pgpipe.schema_version()"
EXTENSIONS = "select extname, nspname from pg_extension join pg_namespace n on n.oid = extnamespace"
VERSION = 3  # of the schema that this code fits; pgpipe.schema_version says which one a database has
REQUIRES = "-- requires: "  # the first line of a file that needs an extension
PACKAGE = Path(__file__).parent
ROOT = PACKAGE if (PACKAGE / "sql").is_dir() else PACKAGE.parent  # in a wheel the two folders lie in the package


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
    from pgpipe.migrations import apply_migrations

    done = Migrated()
    with database.connect(autocommit=True, session=True) as conn, translated():
        conn.execute(LOCK)
        conn.execute("set client_min_messages = warning")
        _refuse_newer(conn)
        conn.execute("create schema if not exists pgpipe")
        _create_vector(conn)
        done.migrations = apply_migrations(database, ROOT / "migrations")
        _apply_files(conn, done)
        if done.migrations or done.files:  # what is new has the grants that a new object has: none, or too many
            conn.execute("select pgpipe.grant_roles(%s)", (database.schema,))
        if folder is not None:
            _refuse_our_names(folder)
            done.migrations += apply_migrations(database, folder)
    return done


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


def _refuse_newer(conn: Connection) -> None:
    """An older `migrate` would put its older functions over the newer ones."""
    known = conn.execute("select to_regprocedure('pgpipe.schema_version()') is not null").fetchone()
    found = conn.execute(FOUND).fetchone() if known and known[0] else None
    if found and found[0] > VERSION:
        raise UsageError(
            f"the database has schema version {found[0]}, which is newer than this pgpipe's {VERSION};"
            " upgrade this installation"
        )


def _refuse_our_names(folder: Path) -> None:
    """Yoyo knows a migration by its name alone: one that is called like ours would count as applied."""
    ours = {file.stem for file in (ROOT / "migrations").iterdir()}
    for file in folder.iterdir():
        if file.stem in ours and file.suffix in {".sql", ".py"}:
            raise UsageError(f"{file}: pgpipe has a migration of that name; call it something else")


def _create_vector(conn: Connection) -> None:
    """Install pgvector where the server has it and this user may; vector commands say when it is missing."""
    allowed = conn.execute(
        "select exists (select from pg_available_extensions where name = 'vector' and installed_version is null)"
        " and (select rolsuper from pg_roles where rolname = current_user)"
        " or exists (select from pg_available_extension_versions where name = 'vector' and trusted and not installed)"
    ).fetchone()
    if allowed and allowed[0]:
        conn.execute("create extension if not exists vector")


def _apply_files(conn: Connection, done: Migrated) -> None:
    installed: dict[str, str] = dict(conn.execute(EXTENSIONS).fetchall())
    applied: dict[str, str] = dict(conn.execute("select name, checksum from pgpipe.sql_file").fetchall())
    for file in sorted((ROOT / "sql").glob("*.sql")):
        text = file.read_text(encoding="utf-8")
        needs = text.partition("\n")[0].removeprefix(REQUIRES) if text.startswith(REQUIRES) else None
        checksum = hashlib.sha256(text.encode()).hexdigest()
        if needs is not None and needs not in installed:
            done.missing.add(needs)
        elif applied.get(file.name) != checksum:
            path = sql.SQL(", ").join(map(sql.Identifier, ["pgpipe", *([installed[needs]] if needs else [])]))
            with conn.transaction():
                # Types of the extension are found when a function is made; at run time each names what it uses.
                conn.execute(sql.SQL("set local search_path = {}").format(path))
                conn.execute(text.encode())
                conn.execute(
                    "insert into pgpipe.sql_file (name, checksum) values (%s, %s) on conflict (name) do update"
                    " set checksum = excluded.checksum, applied_at = excluded.applied_at",
                    (file.name, checksum),
                )
            done.files.append(file.name)
