"""What the database knows, for Prometheus: queues and last loads. Served by the embedder and by the web page alike."""

from collections.abc import Iterator
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from psycopg.rows import dict_row

from pgpipe.db import Database, translated
from pgpipe.errors import PgpipeError
from pgpipe.log import get_logger

QUEUES = """
    select s.schema, s.entity, s.name, s.waiting, s.leased, s.dead, s.coverage::float,
           coalesce(extract(epoch from s.oldest_age), 0)::float as oldest,
           extract(epoch from s.swept_at)::float as swept, s.index_recall, s.index_dead,
           extract(epoch from s.index_measured_at)::float as measured,
           coalesce((select sum(f.jobs) from pgpipe.finished f where f.embedding_id = s.embedding_id
                        and f.finished_at > now() - interval '5 minutes'), 0) / 300.0 as finished
      from pgpipe.embedding_status s order by s.schema, s.entity, s.name
"""
LOADS = """
    select l.schema, l.entity, l.read, l.inserted, l.updated, l.deleted, l.unchanged, l.left_out,
           (l.state = 'failed')::int as failed, extract(epoch from l.finished_at - l.started_at)::float as seconds,
           extract(epoch from d.date::timestamp)::float as date, extract(epoch from d.finished_at)::float as finished,
           extract(epoch from pgpipe_internal.load_rhythm(l.schema, l.entity))::float as rhythm
      from pgpipe.load_status l
      left join lateral (
          select max(x.date) as date, max(x.finished_at) as finished_at from pgpipe.load_history x
           where (x.entity, x.schema) = (l.entity, l.schema) and x.state = 'done'
      ) d on true
     order by l.schema, l.entity
"""
SUMS = """
    select schema, entity, count(*) filter (where state = 'done') as done,
           count(*) filter (where state = 'failed') as failed,
           coalesce(sum(read), 0) as read, coalesce(sum(inserted), 0) as inserted,
           coalesce(sum(updated), 0) as updated, coalesce(sum(deleted), 0) as deleted,
           coalesce(sum(unchanged), 0) as unchanged, coalesce(sum(left_out), 0) as left_out
      from pgpipe.load_history where finished_at is not null group by schema, entity order by schema, entity
"""
DATES = """
    select schema, entity, behind::float, extract(epoch from seen_at)::float as seen
      from pgpipe.date_status order by schema, entity
"""
ENTITY = ("schema", "entity")
EMBEDDING = (*ENTITY, "embedding")
ROWS = ("read", "inserted", "updated", "deleted", "unchanged", "left_out")
SETTINGS = "select set_config('statement_timeout', '10s', true)"
log = get_logger(__name__)


class DatabaseMetrics(Collector):
    """A collector that asks the database at each scrape, in one read-only transaction.

    A scrape never fails: where the database does not answer, or not within ten seconds, `pgpipe_up` is 0 and the other
    metrics are absent.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self) -> list[Metric]:
        """Nothing: registering must not need the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        up = GaugeMetricFamily("pgpipe_up", "Whether the database answered this scrape.")
        try:
            queues, loads, sums, dates = self._read()
        except PgpipeError as exc:
            log.warning("no metrics from the database", error=str(exc))
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from _queues(queues)
        yield from _loads(loads)
        yield from _sums(sums)
        yield from _dates(dates)

    def _read(self) -> list[list[dict[str, Any]]]:
        with (
            self._database.connect(keep_timeouts=True) as conn,
            translated(),
            conn.cursor(row_factory=dict_row) as cursor,
        ):
            conn.read_only = True
            conn.execute(SETTINGS)
            return [cursor.execute(query).fetchall() for query in (QUEUES, LOADS, SUMS, DATES)]


def _queues(rows: list[dict[str, Any]]) -> Iterator[GaugeMetricFamily]:
    jobs = GaugeMetricFamily("pgpipe_jobs", "Jobs in the queue.", labels=[*EMBEDDING, "state"])
    oldest = GaugeMetricFamily("pgpipe_oldest_job_age_seconds", "Age of the oldest living job.", labels=EMBEDDING)
    rate = GaugeMetricFamily(
        "pgpipe_finished_jobs_per_second", "What all embedders finished, as the mean of five minutes.", labels=EMBEDDING
    )
    share = GaugeMetricFamily("pgpipe_coverage_ratio", "Share of the rows whose vectors are fresh.", labels=EMBEDDING)
    swept = GaugeMetricFamily(
        "pgpipe_swept_timestamp_seconds", "When all rows were last compared with their vectors.", labels=EMBEDDING
    )
    recall = GaugeMetricFamily(
        "pgpipe_index_recall_ratio", "Share of the nearest that the vector index finds.", labels=EMBEDDING
    )
    dead = GaugeMetricFamily("pgpipe_index_dead_ratio", "Share of dead bytes of the vector index.", labels=EMBEDDING)
    measured = GaugeMetricFamily(
        "pgpipe_index_measured_timestamp_seconds", "When both were last measured.", labels=EMBEDDING
    )
    for row in rows:
        names = [row["schema"], row["entity"], row["name"]]
        if row["measured"] is not None:
            recall.add_metric(names, row["index_recall"])
            dead.add_metric(names, row["index_dead"])
            measured.add_metric(names, row["measured"])
        if row["coverage"] is not None:
            share.add_metric(names, row["coverage"])
        if row["swept"] is not None:
            swept.add_metric(names, row["swept"])
        for state in ("waiting", "leased", "dead"):
            jobs.add_metric([*names, state], row[state])
        oldest.add_metric(names, row["oldest"])
        rate.add_metric(names, float(row["finished"]))
    yield from (jobs, oldest, rate, share, swept, recall, dead, measured)


def _dates(rows: list[dict[str, Any]]) -> Iterator[GaugeMetricFamily]:
    behind = GaugeMetricFamily("pgpipe_dates_behind", "Dates of the source that are not loaded.", labels=ENTITY)
    seen = GaugeMetricFamily(
        "pgpipe_source_seen_timestamp_seconds", "When a load last looked at the source.", labels=ENTITY
    )
    for row in rows:
        behind.add_metric([row["schema"], row["entity"]], row["behind"])
        seen.add_metric([row["schema"], row["entity"]], row["seen"])
    yield from (behind, seen)


def _sums(rows: list[dict[str, Any]]) -> Iterator[Metric]:
    loads = CounterMetricFamily("pgpipe_loads", "Loads that ended.", labels=[*ENTITY, "state"])
    counts = CounterMetricFamily("pgpipe_loaded_rows", "Rows of all loads that ended.", labels=[*ENTITY, "kind"])
    for row in rows:
        names = [row["schema"], row["entity"]]
        for state in ("done", "failed"):
            loads.add_metric([*names, state], row[state])
        for kind in ROWS:
            counts.add_metric([*names, kind], float(row[kind]))
    yield from (loads, counts)


def _loads(rows: list[dict[str, Any]]) -> Iterator[GaugeMetricFamily]:
    families = {
        "date": ("pgpipe_loaded_date_timestamp_seconds", "Newest date that was loaded, as its midnight UTC."),
        "finished": ("pgpipe_last_success_timestamp_seconds", "When a load last succeeded."),
        "failed": ("pgpipe_last_load_failed", "Whether the last load failed."),
        "rhythm": ("pgpipe_load_rhythm_seconds", "Median gap between the last dates that were loaded."),
        "seconds": ("pgpipe_last_load_duration_seconds", "How long the last load took."),
    }
    for field, (name, text) in families.items():
        family = GaugeMetricFamily(name, text, labels=ENTITY)
        for row in rows:
            if row[field] is not None:
                family.add_metric([row["schema"], row["entity"]], row[field])
        yield family
    counts = GaugeMetricFamily("pgpipe_last_load_rows", "Rows of the last load.", labels=[*ENTITY, "kind"])
    for row in rows:
        for kind in ROWS:
            counts.add_metric([row["schema"], row["entity"], kind], row[kind])
    yield counts
