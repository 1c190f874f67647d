"""Filling a search column that was added to a table in use: batch by batch, then its indexes, then it serves."""

from collections.abc import Callable
from dataclasses import dataclass

from psycopg.rows import class_row

from pgpipe.db import Connection, translated
from pgpipe.target import Target

BATCH = 2000  # rows a transaction
PENDING = """
    select f.target::oid::bigint as oid, n.nspname as schema, c.relname as name,
           greatest(c.reltuples, 0)::bigint as rows, f.filled
      from pgpipe.search_fill f
      join pg_catalog.pg_class c on c.oid = f.target
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname <> 'pgpipe_staging' and c.oid = coalesce(%s::oid, c.oid)
     order by n.nspname, c.relname
"""
UNINDEXED = """
    select c.oid::bigint as oid, n.nspname as schema, c.relname as name
      from pgpipe.search s
      join pg_catalog.pg_class c on c.oid = s.target
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname <> 'pgpipe_staging' and c.oid = coalesce(%s::oid, c.oid)
       and exists (select from pgpipe_internal.missing_search_indexes(s.target))
     order by n.nspname, c.relname
"""
FILL = "select filled, done from pgpipe_internal.fill_batch(%s::oid::regclass, %s)"
INDEXES = "select * from pgpipe_internal.search_index_statements(%s::oid::regclass)"
FINISH = "select pgpipe_internal.finish_search(%s::oid::regclass)"
TRY_LOCK = "select pg_try_advisory_lock(hashtext('pgpipe fill'), hashtext(%s::text))"
UNLOCK = "select pg_advisory_unlock(hashtext('pgpipe fill'), hashtext(%s::text))"


@dataclass(frozen=True)
class Pending(Target):
    """A target whose new search column is being filled."""

    rows: int  # an estimate
    filled: int


def pending(conn: Connection, target: Target | None = None) -> list[Pending]:
    """What is to be filled: of all targets, or of one."""
    with translated(), conn.cursor(row_factory=class_row(Pending)) as cursor:
        return cursor.execute(PENDING, (target.oid if target else None,)).fetchall()


def unindexed(conn: Connection, target: Target | None = None) -> list[Target]:
    """Which targets lack an index of their search: of all targets, or of one."""
    with translated(), conn.cursor(row_factory=class_row(Target)) as cursor:
        return cursor.execute(UNINDEXED, (target.oid if target else None,)).fetchall()


def fill(conn: Connection, target: Pending, advance: Callable[[int], None], batch: int = BATCH) -> bool:
    """Fill, index, and let the column serve. Stopped at any point, it goes on from there when called again.

    Args:
        conn: in autocommit mode: a batch is a transaction, and an index built concurrently allows none around it.
        target: what to fill.
        advance: takes the rows of each batch.
        batch: rows a transaction, about.

    Returns:
        Whether it was done; False where another process is at it.
    """
    with translated():
        if conn.execute(TRY_LOCK, (target.oid,)).fetchone() != (True,):
            return False
        try:
            before, done = target.filled, False
            while not done:
                filled, done = conn.execute(FILL, (target.oid, batch)).fetchone() or (before, True)
                advance(filled - before)
                before = filled
            _build(conn, target)
            conn.execute(FINISH, (target.oid,))
        finally:
            conn.execute(UNLOCK, (target.oid,))
    return True


def build_indexes(conn: Connection, target: Target) -> bool:
    """Build the indexes that the declared search lacks, such as that of impacts once a table is large.

    Args:
        conn: in autocommit mode, as for `fill`.
        target: what is searched.

    Returns:
        Whether all are there; False if another process is building them.
    """
    with translated():
        if conn.execute(TRY_LOCK, (target.oid,)).fetchone() != (True,):
            return False
        try:
            _build(conn, target)
        finally:
            conn.execute(UNLOCK, (target.oid,))
    return True


def _build(conn: Connection, target: Target) -> None:
    for (statement,) in conn.execute(INDEXES, (target.oid,)).fetchall():
        conn.execute(statement.encode())
