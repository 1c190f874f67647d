"""What the page shows of the database: entities, loads, queues. Asked at most every few seconds, however many look."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from time import monotonic
from typing import Any

from psycopg import Cursor
from psycopg.errors import QueryCanceled
from psycopg.rows import dict_row

from pgpipe.db import Connection, Database, translated
from pgpipe.errors import PgpipeError
from pgpipe.searching import asked
from pgpipe.secret import mask
from pgpipe.target import labelled

Row = dict[str, Any]

TARGETS = """
    select n.nspname as schema, c.relname as entity,
           pgpipe_internal.target_rows(c.oid) as rows,
           (select s.weights from pgpipe.search s where s.target = c.oid) as search,
           array(select a.attname::text from pg_catalog.pg_attribute a
                  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                    and a.atttypid <> 'tsvector'::regtype order by a.attnum) as columns
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.oid in (select target from pgpipe.search union select target from pgpipe.embedding)
       and n.nspname <> 'pgpipe_staging'
     order by c.relname, n.nspname
"""
LOADS = """
    select l.load_id, l.schema, l.entity, l.date, l.mode, l.started_at, l.finished_at, l.read, l.inserted, l.updated,
           l.deleted, l.unchanged, l.left_out, l.error, l.seconds, l.state
      from (select x.*, row_number() over (partition by x.schema, x.entity
                                          order by x.started_at desc, x.load_id desc) as place
              from pgpipe.load_history x) l
     where l.place <= %s order by l.started_at desc, l.load_id desc
"""
EMBEDDINGS = """
    select s.embedding_id, s.schema, s.entity, s.name, s.model, s.dims, s.active, s.paused, s.waiting, s.leased, s.dead,
           s.rows, s.estimated, s.coverage::float as coverage, s.rate::float as rate,
           s.swept_at, s.reason,
           extract(epoch from s.eta)::float as eta_seconds, extract(epoch from s.oldest_age)::float as oldest_seconds
      from pgpipe.embedding_status s order by s.entity, s.name
"""
THROUGHPUT = """
    with finished as (
        select f.embedding_id, date_bin('5 minutes', f.finished_at, 'epoch') as at, sum(f.jobs)::int as jobs
          from pgpipe.finished f where f.finished_at >= date_bin('5 minutes', now() - interval '6 hours', 'epoch')
         group by 1, 2
    )
    select e.embedding_id, extract(epoch from b.at)::float as at, coalesce(f.jobs, 0) as jobs
      from pgpipe.embedding e
     cross join generate_series(date_bin('5 minutes', now() - interval '6 hours', 'epoch'), now(), '5 minutes') b (at)
      left join finished f using (embedding_id, at)
     order by e.embedding_id, b.at
"""
FAILING = """
    select n.nspname as schema, c.relname as entity, e.name as embedding, j.key, j.attempts, j.dead_at, j.last_error
      from pgpipe.embedding e
      join pg_catalog.pg_class c on c.oid = e.target
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     cross join lateral (  -- by the index; where more than a thousand are dead, twenty of some thousand do
           select d.* from pgpipe.job d where d.embedding_id = e.embedding_id and d.visible_at = 'infinity'
            order by d.visible_at limit 1000) j
     order by j.dead_at desc, j.embedding_id, j.key limit 20
"""
MAY_SEE_JOBS = "select pg_catalog.has_table_privilege('pgpipe.job', 'select') as granted"
RHYTHMS = """
    select schema, entity, extract(epoch from pgpipe_internal.load_rhythm(schema, entity))::float as rhythm,
           min(finished_at) filter (where date = newest) as newest_at
      from (select l.*, max(l.date) over (partition by l.schema, l.entity) as newest
              from pgpipe.load_history l where l.state = 'done') l
     group by schema, entity
"""
HISTORY = 30  # loads of an entity that are plotted
SETTINGS = "select set_config('statement_timeout', %s, true)"
LATE = 1.5  # rhythms since its newest date, after which an entity is late
KEPT = 3  # seconds that an overview is shown before the database is asked again
PATIENCE = 3000  # milliseconds that a query of it may take
SLOW = f"The database is busy, or a table is locked: part of this was not to be had within {PATIENCE // 1000} seconds."


@dataclass
class Entity:
    """One entity: its table as far as it is searchable, its loads (newest first) and its embeddings."""

    name: str  # as commands take it: with its schema, if that is not the settings'
    rows: int | None = None  # about; None where no table of it is searchable
    search: dict[str, str] | None = None  # weight of each search column
    columns: list[str] = field(default_factory=list)
    loads: list[Row] = field(default_factory=list)
    embeddings: list[Row] = field(default_factory=list)
    rhythm: float | None = None  # seconds between its dates, as their median; None: too few are known
    newest_at: datetime | None = None  # when its newest date was loaded first

    @property
    def late(self) -> bool:
        """Whether its next date is overdue by more than half of its rhythm, as the doctor and the alerts say it."""
        if self.rhythm is None or self.newest_at is None:
            return False
        return (datetime.now(UTC) - self.newest_at).total_seconds() > LATE * self.rhythm


@dataclass(frozen=True)
class Overview:
    """All entities by name, and the dead jobs that the role may see."""

    entities: dict[str, Entity]
    dead: list[Row]
    note: str = ""  # why something is missing
    unanswered: list[Row] = field(default_factory=list)  # questions of the log


class Overviews:
    """The overview, kept for a few seconds."""

    def __init__(self, database: Database, seconds: float = KEPT) -> None:
        self._database = database
        self._seconds = seconds
        self._lock = Lock()  # who comes while one asks waits for that answer
        self._kept = Overview({}, [])
        self._failed: PgpipeError | None = None
        self._until = 0.0

    def get(self) -> Overview:
        """Not older than those seconds.

        Raises:
            PgpipeError: the database does not answer, or lacks the schema.
        """
        with self._lock:
            if monotonic() >= self._until:
                self._failed = None
                try:
                    with reading(self._database, PATIENCE) as conn:
                        self._kept = overview(conn, self._database.schema)
                except PgpipeError as exc:  # kept as long as an answer: those who wait would ask one after the other
                    self._failed = exc
                self._until = monotonic() + self._seconds
            if self._failed:
                raise self._failed
            return self._kept


@contextmanager
def reading(database: Database, patience: int = 30_000) -> Iterator[Connection]:
    """A connection in one read-only transaction that gives up on a statement after so many milliseconds.

    Read-only by the transaction and not by a setting of the session: that holds behind a pooler too.
    """
    with database.connect(keep_timeouts=True) as conn, translated():
        conn.read_only = True
        conn.execute(SETTINGS, (str(patience),))
        yield conn
        conn.rollback()


def overview(conn: Connection, home: str) -> Overview:
    """Everything but search, in eight queries; what takes too long is left out, and a note says so.

    Args:
        conn: to read on.
        home: the schema of the settings; the names of its tables are shown without it.
    """
    entities: dict[str, Entity] = {}
    dead: list[Row] = []
    unanswered: list[Row] = []
    note = ""
    with conn.cursor(row_factory=dict_row) as cursor:
        try:
            _read_targets(cursor, entities, home)
            _read_embeddings(cursor, entities, home)
            if (granted := cursor.execute(MAY_SEE_JOBS).fetchone()) and granted["granted"]:  # pgpipe_reader sees counts
                dead = _masked(labelled(cursor.execute(FAILING).fetchall(), home), "last_error")
            unanswered = labelled(asked.unanswered(cursor, 20), home)
        except QueryCanceled:
            note = SLOW
    return Overview(dict(sorted(entities.items())), dead, note, unanswered)


def _read_targets(cursor: Cursor[Row], entities: dict[str, Entity], home: str) -> None:
    """Add the tables and their loads."""
    for row in labelled(cursor.execute(TARGETS).fetchall(), home):
        entities[row["entity"]] = Entity(row["entity"], row["rows"], row["search"], row["columns"])
    for load in _masked(labelled(cursor.execute(LOADS, (HISTORY,)).fetchall(), home), "error"):
        entities.setdefault(load["entity"], Entity(load["entity"])).loads.append(load)
    for known in labelled(cursor.execute(RHYTHMS).fetchall(), home):
        if entity := entities.get(known["entity"]):
            entity.rhythm, entity.newest_at = known["rhythm"], known["newest_at"]


def _read_embeddings(cursor: Cursor[Row], entities: dict[str, Entity], home: str) -> None:
    """Add the embeddings, with their queues and what they finished."""
    series: dict[int, list[Row]] = {}
    for point in cursor.execute(THROUGHPUT).fetchall():
        series.setdefault(point.pop("embedding_id"), []).append(point)
    for embedding in labelled(cursor.execute(EMBEDDINGS).fetchall(), home):
        entity = entities.setdefault(embedding["entity"], Entity(embedding["entity"]))
        entity.embeddings.append(embedding | {"throughput": series.get(embedding["embedding_id"], [])})


def _masked(rows: list[Row], name: str) -> list[Row]:
    """The rows without passwords in their errors, whatever wrote these."""
    return [row | {name: mask(row[name]) if row[name] else None} for row in rows]
