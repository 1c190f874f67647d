"""Tables, examined: the queue, columns that keep a cluster from an upgrade, and entities whose dates stay away."""

from collections.abc import Iterator
from datetime import timedelta

from pgpipe.db import Connection
from pgpipe.doctor.finding import Finding, failure, ok, warning
from pgpipe.load.rhythm import read_newest
from pgpipe.settings.entity import EntitySettings
from pgpipe.settings.model import Settings
from pgpipe.target import label

# pg_upgrade refuses a cluster that has columns of these types, or of types made of them.
NOT_UPGRADABLE = """
    with recursive made_of (part, whole) as materialized (
        select t.typbasetype, t.oid from pg_catalog.pg_type t where t.typbasetype <> 0
        union all select t.typelem, t.oid from pg_catalog.pg_type t where t.typelem <> 0 and t.typcategory = 'A'
        union all select g.rngsubtype, g.rngtypid from pg_catalog.pg_range g
        union all select a.atttypid, t.oid
                    from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.typrelid = a.attrelid
                   where a.attnum > 0 and not a.attisdropped
    ), refused (oid) as (
        select t.oid from pg_catalog.pg_type t
         where t.typnamespace = 'pg_catalog'::regnamespace
           and t.typname in ('regcollation', 'regconfig', 'regdictionary', 'regnamespace', 'regoper', 'regoperator',
                             'regproc', 'regprocedure')
        union
        select made_of.whole from refused join made_of on made_of.part = refused.oid
    )
    select c.oid::regclass::text, pg_catalog.quote_ident(a.attname), pg_catalog.format_type(a.atttypid, a.atttypmod)
      from refused r
      join pg_catalog.pg_attribute a on a.atttypid = r.oid and a.attnum > 0 and not a.attisdropped
      join pg_catalog.pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p', 'm') and not c.relispartition
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
     order by 1, 2
"""
SOFT_DELETES = "select pgpipe_internal.soft_delete_lost(target) from pgpipe.soft_delete order by target::text"
QUEUE = """
    select current_setting('autovacuum')::boolean and 'autovacuum_enabled=false' <> all (coalesce(c.reloptions, '{}')),
           coalesce(s.n_dead_tup, 0), coalesce(s.n_live_tup, 0)
      from pg_catalog.pg_class c left join pg_catalog.pg_stat_user_tables s on s.relid = c.oid
     where c.oid = 'pgpipe.job'::regclass
"""


def _upgrade(conn: Connection, _settings: Settings) -> Iterator[Finding]:
    """What keeps this cluster from an upgrade."""
    for table, column, type_ in conn.execute(NOT_UPGRADABLE).fetchall():
        yield warning(
            "pg_upgrade",
            f"it refuses this cluster for the column {column} of {table}, which is of type {type_}",
            f"alter table {table} alter column {column} type text; if it is the language column of a search,"
            " call pgpipe.disable_search before and pgpipe.enable_search after",
        )


def _queue(conn: Connection, _settings: Settings) -> Iterator[Finding]:
    row = conn.execute(QUEUE).fetchone()
    assert row is not None
    vacuumed, dead, live = row
    if not vacuumed:
        yield warning(
            "queue",
            "autovacuum is off: every claim reads the rows of finished jobs",
            "alter system set autovacuum = on",
        )
    elif dead > 10 * live + 100_000:
        yield warning(
            "queue",
            f"{dead:,} dead rows and {live:,} live ones",
            "vacuum pgpipe.job; look for transactions open for hours",
        )
    else:
        yield ok("queue", f"autovacuum is on, {dead:,} dead rows")


def _rhythm(conn: Connection, settings: Settings) -> Iterator[Finding]:
    """Entities whose next date should have been loaded long ago."""
    home = settings.database.db_schema
    for newest in read_newest(conn):
        schema, entity, date, usual = newest.schema, newest.entity, newest.date, newest.usual
        own = settings.entity.get(entity, EntitySettings()).rhythm if schema == home else None
        every = own or usual
        late = behind(newest.age, every)
        if every and late:
            yield warning(
                "rhythm",
                f"{label(schema, entity, home)}: the last date is {date}, and the next is {span(late)} late",
                f"look at what writes them, and at the last load; dates come every {span(every)},"
                f' else write every = "7d" under [entity.{entity}]',
            )


def behind(age: timedelta, every: timedelta | None) -> timedelta | None:
    """How late the next date is, if it is late by more than half of the usual time."""
    return age - every if every and age > every * 1.5 else None


def span(time: timedelta) -> str:
    """In hours, or in days from two on."""
    hours = round(time / timedelta(hours=1))
    return f"{hours} hours" if hours < 48 else f"{round(hours / 24)} days"  # noqa: PLR2004


def _soft_deletes(conn: Connection, _settings: Settings) -> Iterator[Finding]:
    """Targets that do not know any more which of their rows are gone."""
    for (lost,) in conn.execute(SOFT_DELETES).fetchall():
        if lost:
            what, _, remedy = lost.partition(": ")
            yield failure("soft deletes", f"{what}; loads and searches are refused", remedy)


CHECKS = (_queue, _upgrade, _rhythm, _soft_deletes)
