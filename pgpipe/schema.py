"""Migrate: yoyo's migrations once; then the files of sql/ and the rights, in one transaction, if anything differs."""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import sql

from pgpipe.db import Connection, Database, translated
from pgpipe.db.encoding import as_ascii, codec, require_encoding
from pgpipe.errors import SchemaMissing, UsageError
from pgpipe.log import get_logger

log = get_logger(__name__)

LOCK = "select pg_try_advisory_lock(hashtext('pgpipe migrate'))"
AWAIT_LOCK = "select pg_advisory_lock(hashtext('pgpipe migrate'))"
LOCK_HOLDER = """
    select a.pid, a.usename from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a on a.pid = l.pid
     where l.locktype = 'advisory' and l.granted and l.objsubid = 1
       and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
       and (l.classid::bigint << 32 | l.objid::bigint) = hashtext('pgpipe migrate')
"""
# The owner of a schema may put tables with triggers there before the first migrate: they would run as who migrates.
FOREIGN = """
    select n.nspname, o.rolname
      from pg_catalog.pg_namespace n
      join pg_catalog.pg_roles o on o.oid = n.nspowner
      join pg_catalog.pg_database d on d.datname = current_database()
      join pg_catalog.pg_roles r on r.rolname = current_user
     where n.nspname in ('pgpipe', 'pgpipe_internal', 'pgpipe_staging', 'pgpipe_target')
       and r.rolsuper and not o.rolsuper and o.oid <> d.datdba
       and o.rolname not in ('pgpipe_owner', 'pg_database_owner')
"""
FOUND = "select version, oldest from pgpipe.schema_version()"
EXTENSIONS = "select extname, nspname from pg_extension join pg_namespace n on n.oid = extnamespace"
# Functions on which nothing depends, those with their owner's rights first: another version may return something else.
DROP = """
    do $$
    declare
        routine text;
    begin
        for routine in
            select p.oid::regprocedure::text from pg_catalog.pg_proc p
             where p.pronamespace in ('pgpipe'::regnamespace, 'pgpipe_internal'::regnamespace) and not exists (
                   select from pg_catalog.pg_depend d
                    where (d.refclassid, d.refobjid) = ('pg_catalog.pg_proc'::regclass, p.oid)
                       or (d.classid, d.objid, d.deptype) = ('pg_catalog.pg_proc'::regclass, p.oid, 'e'))
             order by p.prosecdef desc
        loop
            execute format('drop routine %s', routine);
        end loop;
    end
    $$
"""
# What a table of a user's depends on stays, and goes where it is now looked for.
MOVE = """
    do $$
    declare
        routine text;
    begin
        for routine in
            select p.oid::regprocedure::text from pg_catalog.pg_proc p
             where p.pronamespace = 'pgpipe'::regnamespace
               and p.proname = any (pg_catalog.string_to_array({names}, ' '))
        loop
            execute format('alter routine %s set schema pgpipe_internal', routine);
        end loop;
    end
    $$
"""
# Each file makes or replaces its functions, so what this transaction did not write is of another version.
DROP_LEFT_OVER = """
    do $$
    declare
        old record;
    begin
        for old in
            select p.oid::regprocedure::text as routine,
                   (select pg_catalog.string_agg(pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid), ', ')
                      from pg_catalog.pg_depend d
                     where (d.refclassid, d.refobjid) = ('pg_catalog.pg_proc'::regclass, p.oid)) as users
              from pg_catalog.pg_proc p
             where p.pronamespace in ('pgpipe'::regnamespace, 'pgpipe_internal'::regnamespace)
               and p.xmin <> pg_catalog.pg_current_xact_id()::xid
               and not exists (select from pg_catalog.pg_depend d
                                where (d.classid, d.objid, d.deptype) = ('pg_catalog.pg_proc'::regclass, p.oid, 'e'))
        loop
            if old.users is not null then
                raise exception '%, which this version of pgpipe lacks, is used by: %', old.routine, old.users
                    using errcode = 'PP020', hint = 'Drop what uses it, migrate again, then make it again.';
            end if;
            execute format('drop routine %s', old.routine);
        end loop;
    end
    $$
"""
# Owners and rights of what is ours and of the targets.
RIGHTS = """
    with known as (
        select unnest(array[e.target, e.store, e.filter_table]) as oid from pgpipe.embedding e
        union select s.target from pgpipe.search s
        union select g.tgrelid from pg_catalog.pg_trigger g where g.tgname = 'pgpipe_ledger'
        union select c.oid from pg_catalog.pg_class c where c.relnamespace = 'pgpipe'::regnamespace
    ), part as (
        select p.oid, 0 as place, p.proowner as owner, p.proacl as rights from pg_catalog.pg_proc p
         where p.pronamespace::regnamespace::text in ('pgpipe', 'pgpipe_internal', 'pgpipe_target')
        union all
        select c.oid, 0, c.relowner, c.relacl from known join pg_catalog.pg_class c using (oid)
        union all
        select a.attrelid, a.attnum, null, a.attacl from known join pg_catalog.pg_attribute a on a.attrelid = known.oid
         where a.attacl is not null
        union all
        select n.oid, 0, n.nspowner, n.nspacl from pg_catalog.pg_namespace n
         where n.nspname in ('pgpipe', 'pgpipe_internal', 'pgpipe_staging', 'pgpipe_target', %s)
            or n.oid in (select x.extnamespace from pg_catalog.pg_extension x where x.extname = 'vector')
    )
    select pg_catalog.md5(pg_catalog.string_agg(part::text, ' ' order by part.oid, part.place)) from part
"""
APPLIED = "select name, checksum from pgpipe.sql_file"
APPLY = """
    insert into pgpipe.sql_file (name, checksum) values (%s, %s) on conflict (name) do update
       set checksum = excluded.checksum, applied_at = excluded.applied_at
"""
TEMPLATE = """
    insert into pgpipe.template (name, body) values (%s, %s) on conflict (name) do update set body = excluded.body
"""
GRANTS = "grants"  # in pgpipe.sql_file: the owners and rights that the last migrate left
VERSION = 3  # of the schema that this code fits; pgpipe.schema_version says which one a database has
INTERNAL = "internal/"  # in sql/: functions that only pgpipe calls
MADE = re.compile(r"^create or replace (?:function|procedure) pgpipe_internal\.(\w+)", re.MULTILINE)
TEMPLATES = "templates/"  # in sql/: what functions of one embedding are rendered from
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
        _lock(conn)
        conn.execute("set client_min_messages = warning")
        require_encoding(conn)
        _refuse_foreign(conn)
        version = _refuse_newer(conn)
        conn.execute("create schema if not exists pgpipe")
        _create_vector(conn)
        done.migrations = apply_migrations(database, ROOT / "migrations")
        with conn.transaction():  # what is new has the rights of a new object until grant_roles: none, or too many
            _apply_files(conn, done, version)
            _assert_rights(conn, database.schema)
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


def _lock(conn: Connection) -> None:
    """One migrate at a time. Whoever may connect can take this lock, so the log says who has it."""
    if conn.execute(LOCK).fetchone() == (True,):
        return
    for pid, user in conn.execute(LOCK_HOLDER).fetchall():
        log.warning("another migrate is running; waiting for it to end", process=pid, user=user)
    conn.execute(AWAIT_LOCK)


def _refuse_foreign(conn: Connection) -> None:
    """Refuse to work as a superuser in another role's schema."""
    for schema, owner in conn.execute(FOREIGN).fetchall():
        raise UsageError(
            f"the schema {schema} belongs to {owner}, whose code would run as you; migrate as that role, or drop the"
            " schema if pgpipe did not make it"
        )


def _refuse_newer(conn: Connection) -> int:
    """The version that is there, 0 for none. An older `migrate` would put its older functions over newer ones."""
    known = conn.execute("select to_regprocedure('pgpipe.schema_version()') is not null").fetchone()
    found = conn.execute(FOUND).fetchone() if known and known[0] else None
    if found and found[0] > VERSION:
        raise UsageError(
            f"the database has schema version {found[0]}, which is newer than this pgpipe's {VERSION};"
            " upgrade this installation"
        )
    return int(found[0]) if found else 0


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


@dataclass(frozen=True)
class _File:
    """A file of sql/, or of sql/templates/."""

    name: str
    text: str

    @property
    def template(self) -> str | None:
        """What the template is called that it holds."""
        return Path(self.name).stem if self.name.startswith(TEMPLATES) else None

    @property
    def needs(self) -> str | None:
        """The extension that its first line names."""
        first = self.text.partition("\n")[0]
        return first.removeprefix(REQUIRES) if first.startswith(REQUIRES) else None

    @property
    def checksum(self) -> str:
        """Of the whole text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def sql_files() -> list[str]:
    """The files of sql/, in the order in which they are applied, and its templates."""
    folder = ROOT / "sql"
    numbered = sorted(
        [*folder.glob("internal/*.sql"), *folder.glob("api/*.sql")],
        key=lambda f: (f.name, f.parent != folder / "internal"),
    )
    return [file.relative_to(folder).as_posix() for file in [*numbered, *sorted(folder.glob("templates/*.sql"))]]


def _apply_files(conn: Connection, done: Migrated, version: int) -> None:
    """If a file is new, changed or gone, apply all: then what no file made is known, and dropped."""
    schemas: dict[str, str] = dict(conn.execute(EXTENSIONS).fetchall())
    files = [_File(name, (ROOT / "sql" / name).read_text(encoding="utf-8")) for name in sql_files()]
    done.missing = {file.needs for file in files if file.needs is not None} - set(schemas)
    files = [file for file in files if file.needs not in done.missing]
    applied: dict[str, str] = dict(conn.execute(APPLIED).fetchall())
    done.files = [file.name for file in files if applied.get(file.name) != file.checksum]
    gone = applied.keys() - {file.name for file in files} - {GRANTS}
    if not done.files and not gone:
        return
    conn.execute("set local search_path = pg_catalog, pg_temp")
    if version < VERSION:
        conn.execute(DROP)
        internal = [name for file in files if file.name.startswith(INTERNAL) for name in MADE.findall(file.text)]
        conn.execute(sql.SQL(MOVE).format(names=sql.Literal(" ".join(internal))))
    for file in files:
        if file.name in done.files:
            conn.execute(APPLY, (file.name, file.checksum))
        if file.template is not None:
            conn.execute(TEMPLATE, (file.template, file.text))
            continue
        # Types of the extension are found when a function is made; at run time each names what it uses.
        path = ["pgpipe", "pgpipe_internal", *([schemas[file.needs]] if file.needs else [])]
        conn.execute(sql.SQL("set local search_path = {}").format(sql.SQL(", ").join(map(sql.Identifier, path))))
        conn.execute((file.text if codec(conn) is None else as_ascii(file.text)).encode())
    conn.execute("delete from pgpipe.sql_file where name = any (%s)", (list(gone),))
    conn.execute("set local search_path = pg_catalog, pg_temp")
    conn.execute("delete from pgpipe.template where name <> all (%s)", ([f.template for f in files if f.template],))
    conn.execute(DROP_LEFT_OVER)  # the schema is ours alone; what is old would stay callable, with its faults
    conn.execute("select pgpipe_internal.render_triggers(embedding_id) from pgpipe.embedding")
    conn.execute("select pgpipe_internal.drop_rendered()")


def _assert_rights(conn: Connection, targets: str) -> None:
    """Grant if owners or rights differ from what the last migrate left; only then: a GRANT waits for an ALTER TABLE."""
    before = conn.execute("select checksum from pgpipe.sql_file where name = %s", (GRANTS,)).fetchone()
    if conn.execute(RIGHTS, (targets,)).fetchone() == before:
        return
    conn.execute("select pgpipe_internal.grant_roles(%s)", (targets,))
    (rights,) = conn.execute(RIGHTS, (targets,)).fetchone() or ("",)
    conn.execute(APPLY, (GRANTS, rights))
