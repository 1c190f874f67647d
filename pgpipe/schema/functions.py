"""Functions, triggers, views and templates: the files of sql/, applied together if one of them differs."""

from collections.abc import Sequence

from psycopg import sql

from pgpipe.db import Connection
from pgpipe.db.encoding import as_ascii, codec
from pgpipe.schema import version
from pgpipe.schema.files import File, read_files

EXTENSIONS = """
    select known.extname, home.nspname from pg_catalog.pg_extension known
      join pg_catalog.pg_namespace home on home.oid = known.extnamespace
"""
APPLIED = "select name, checksum from pgpipe.sql_file where name <> 'grants'"
APPLY = """
    insert into pgpipe.sql_file (name, checksum) values (%s, %s) on conflict (name) do update
       set checksum = excluded.checksum, applied_at = excluded.applied_at
"""
FORGET = "delete from pgpipe.sql_file where name = any (%s)"
TEMPLATE = """
    insert into pgpipe.template (name, body) values (%s, %s) on conflict (name) do update set body = excluded.body
"""
FORGET_TEMPLATES = "delete from pgpipe.template where name <> all (%s)"
RENDER = "select pgpipe_internal.render_triggers(embedding_id) from pgpipe.embedding"
DROP_RENDERED = "select pgpipe_internal.drop_rendered()"
PLAIN_PATH = "set local search_path = pg_catalog, pg_temp"
# Functions on which nothing depends, those with their owner's rights first: another version may return something else.
DROP = """
    do $$
    declare
        routine text;
    begin
        for routine in
            select known.oid::regprocedure::text from pg_catalog.pg_proc known
             where known.pronamespace in ('pgpipe'::regnamespace, 'pgpipe_internal'::regnamespace) and not exists (
                   select from pg_catalog.pg_depend link
                    where (link.refclassid, link.refobjid) = ('pg_catalog.pg_proc'::regclass, known.oid)
                       or (link.classid, link.objid, link.deptype) = ('pg_catalog.pg_proc'::regclass, known.oid, 'e'))
             order by known.prosecdef desc
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
            select known.oid::regprocedure::text from pg_catalog.pg_proc known
             where known.pronamespace = 'pgpipe'::regnamespace
               and known.proname = any (pg_catalog.string_to_array({names}, ' '))
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
            select known.oid::regprocedure::text as routine,
                   (select pg_catalog.string_agg(
                               pg_catalog.pg_describe_object(link.classid, link.objid, link.objsubid), ', ')
                      from pg_catalog.pg_depend link
                     where (link.refclassid, link.refobjid) = ('pg_catalog.pg_proc'::regclass, known.oid)) as users
              from pg_catalog.pg_proc known
             where known.pronamespace in ('pgpipe'::regnamespace, 'pgpipe_internal'::regnamespace)
               and known.xmin <> pg_catalog.pg_current_xact_id()::xid
               and not exists (
                   select from pg_catalog.pg_depend link
                    where (link.classid, link.objid, link.deptype) = ('pg_catalog.pg_proc'::regclass, known.oid, 'e'))
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


def apply_files(conn: Connection, found: int) -> tuple[list[str], set[str]]:
    """If a file is new, changed or gone, apply all: then what no file made is known, and dropped.

    Args:
        conn: within a transaction.
        found: the version of the schema that is there.

    Returns:
        The names of the files that differed, and the extensions that other files wait for.
    """
    schemas: dict[str, str] = dict(conn.execute(EXTENSIONS).fetchall())
    files = read_files()
    missing = {file.needs for file in files if file.needs is not None} - set(schemas)
    files = [file for file in files if file.needs not in missing]
    applied: dict[str, str] = dict(conn.execute(APPLIED).fetchall())
    differ = [file for file in files if applied.get(file.name) != file.checksum]
    gone = applied.keys() - {file.name for file in files}
    if differ or gone:
        conn.execute(PLAIN_PATH)
        if found < version.VERSION:
            _clear_away(conn, files)
        for file in files:
            _apply(conn, file, schemas)
        conn.execute(PLAIN_PATH)
        for file in differ:
            conn.execute(APPLY, (file.name, file.checksum))
        conn.execute(FORGET, (list(gone),))
        conn.execute(FORGET_TEMPLATES, ([file.template for file in files if file.template],))
        conn.execute(DROP_LEFT_OVER)  # the schema is ours alone; what is old would stay callable, with its faults
        conn.execute(RENDER)
        conn.execute(DROP_RENDERED)
    return [file.name for file in differ], missing


def _clear_away(conn: Connection, files: Sequence[File]) -> None:
    """Drop the functions of an older version, and move those that are used to where they are now looked for."""
    conn.execute(DROP)
    internal = " ".join(name for file in files for name in file.makes)
    conn.execute(sql.SQL(MOVE).format(names=sql.Literal(internal)))


def _apply(conn: Connection, file: File, schemas: dict[str, str]) -> None:
    """Make what a file holds. Types of an extension are found now; at run time each function names what it uses."""
    if file.template is not None:
        conn.execute(TEMPLATE, (file.template, file.text))
        return
    path = ["pg_catalog", "pgpipe", "pgpipe_internal", *([schemas[file.needs]] if file.needs else []), "pg_temp"]
    conn.execute(sql.SQL("set local search_path = {}").format(sql.SQL(", ").join(map(sql.Identifier, path))))
    conn.execute((file.text if codec(conn) is None else as_ascii(file.text)).encode())
