"""What the page shows of the database: entities, loads, queues. One read-only transaction for each request."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from psycopg.rows import dict_row

from pgpipe.db import Connection, Database, translated
from pgpipe.mask import mask

Row = dict[str, Any]

TARGETS = """
    select c.relname as entity, pg_catalog.pg_stat_get_live_tuples(c.oid) as rows,
           (select s.weights from pgpipe.search s where s.target = c.oid) as search,
           array(select a.attname::text from pg_catalog.pg_attribute a
                  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                    and a.atttypid <> 'tsvector'::regtype order by a.attnum) as columns
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.oid in (select target from pgpipe.search union select target from pgpipe.embedding)
       and n.nspname <> 'pgpipe_staging'
     order by c.relname
"""
LOADS = """
    select l.load_id, l.entity, l.date, l.mode, l.started_at, l.finished_at, l.read, l.inserted, l.updated, l.deleted,
           l.unchanged, l.error, extract(epoch from coalesce(l.finished_at, now()) - l.started_at)::float as seconds,
           case when l.error is not null then 'failed'
                when l.finished_at is null then 'running' else 'done' end as state
      from (select x.*, row_number() over (partition by x.entity order by x.started_at desc, x.load_id desc) as place
              from pgpipe.load x) l
     where l.place <= %s order by l.started_at desc, l.load_id desc
"""
EMBEDDINGS = """
    select s.embedding_id, s.entity, s.name, s.model, s.dims, s.active, s.paused, s.waiting, s.leased, s.dead, s.rows,
           s.coverage::float as coverage, s.rate::float as rate, extract(epoch from s.eta)::float as eta_seconds,
           extract(epoch from s.oldest_age)::float as oldest_seconds
      from pgpipe.embedding_status s order by s.entity, s.name
"""
THROUGHPUT = """
    select e.embedding_id, extract(epoch from b.at)::float as at, coalesce(sum(f.jobs), 0)::int as jobs
      from pgpipe.embedding e
     cross join generate_series(date_bin('5 minutes', now() - interval '6 hours', 'epoch'), now(), '5 minutes') b (at)
      left join pgpipe.finished f on f.embedding_id = e.embedding_id
                                 and f.finished_at >= b.at and f.finished_at < b.at + interval '5 minutes'
     group by e.embedding_id, b.at order by e.embedding_id, b.at
"""
FAILING = """
    select c.relname as entity, e.name as embedding, j.key, j.attempts, j.dead_at, j.last_error
      from pgpipe.job j join pgpipe.embedding e using (embedding_id) join pg_catalog.pg_class c on c.oid = e.target
     where j.dead_at is not null order by j.dead_at desc, j.embedding_id, j.key limit 20
"""
MAY_SEE_JOBS = "select pg_catalog.has_table_privilege('pgpipe.job', 'select') as granted"
HISTORY = 30  # loads of an entity that are plotted
TIMEOUT = "select set_config('statement_timeout', '30s', true)"


@dataclass
class Entity:
    """One entity: its table as far as it is searchable, its loads (newest first) and its embeddings."""

    name: str
    rows: int | None = None  # about; None where no table of it is searchable
    search: dict[str, str] | None = None  # weight of each search column
    columns: list[str] = field(default_factory=list)
    loads: list[Row] = field(default_factory=list)
    embeddings: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Overview:
    """All entities by name, and the jobs that nobody tries again, as far as the role may see them."""

    entities: dict[str, Entity]
    dead: list[Row]


@contextmanager
def reading(database: Database) -> Iterator[Connection]:
    """A connection in one read-only transaction that gives up on a statement after half a minute.

    Read-only by the transaction and not by a setting of the session: that holds behind a pooler too.
    """
    with database.connect() as conn, translated():
        conn.read_only = True
        conn.execute(TIMEOUT)
        yield conn
        conn.rollback()


def overview(conn: Connection) -> Overview:
    """Everything but search, in five queries."""
    with conn.cursor(row_factory=dict_row) as cursor:
        entities = {
            row["entity"]: Entity(row["entity"], row["rows"], row["search"], row["columns"])
            for row in cursor.execute(TARGETS).fetchall()
        }
        for load in _masked(cursor.execute(LOADS, (HISTORY,)).fetchall(), "error"):
            entities.setdefault(load["entity"], Entity(load["entity"])).loads.append(load)
        series: dict[int, list[Row]] = {}
        for point in cursor.execute(THROUGHPUT).fetchall():
            series.setdefault(point.pop("embedding_id"), []).append(point)
        for embedding in cursor.execute(EMBEDDINGS).fetchall():
            entity = entities.setdefault(embedding["entity"], Entity(embedding["entity"]))
            entity.embeddings.append(embedding | {"throughput": series.get(embedding["embedding_id"], [])})
        granted = cursor.execute(MAY_SEE_JOBS).fetchone()
        dead = cursor.execute(FAILING).fetchall() if granted and granted["granted"] else []  # pgpipe_reader sees counts
        return Overview(dict(sorted(entities.items())), _masked(dead, "last_error"))


def _masked(rows: list[Row], name: str) -> list[Row]:
    """The rows with no password in their errors, whoever wrote those."""
    return [row | {name: mask(row[name]) if row[name] else None} for row in rows]
