"""The gauges that the database answers for."""

import pytest
from prometheus_client import CollectorRegistry

from pgpipe.db import Connection, Database
from pgpipe.metrics import DatabaseMetrics
from pgpipe.settings.model import DatabaseSettings
from tests.conftest import also_on_16
from tests.sql.support import claim, embed, finish, waiting_docs

LOADED = """
    insert into pgpipe.load (entity, date, mode, started_at, finished_at, read, inserted, unchanged, error) values
        ('doc', '2026-01-02', 'append', now() - interval '2 days', now() - interval '47 hours', 7, 5, 2, null),
        ('doc', '2026-01-03', 'append', now() - interval '10 seconds', now(), 0, 0, 0, 'no')
"""

DOC = {"schema": "public", "entity": "doc"}


def registry(database: Database) -> CollectorRegistry:
    made = CollectorRegistry()
    made.register(DatabaseMetrics(database))
    return made


@also_on_16
def test_queue_gauges(conn: Connection, any_database: Database) -> None:
    """Jobs by state, and what was finished in the last minutes."""
    embedding = waiting_docs(conn, 5)
    finish(conn, claim(conn, embedding, 2))
    claim(conn, embedding, 1)

    made = registry(any_database)

    labels = DOC | {"embedding": "default"}
    states = {s: made.get_sample_value("pgpipe_jobs", labels | {"state": s}) for s in ("waiting", "leased", "dead")}
    assert states == {"waiting": 2, "leased": 1, "dead": 0}
    assert made.get_sample_value("pgpipe_finished_jobs_per_second", labels) == pytest.approx(2 / 300)
    assert made.get_sample_value("pgpipe_oldest_job_age_seconds", labels) > 0


def test_two_schemas_with_an_entity_of_the_same_name(conn: Connection, any_database: Database) -> None:
    """Each has its own gauges: without the schema a scrape would hold two values of one name."""
    waiting_docs(conn, 3)
    conn.execute(
        "create schema second; create table second.doc (like doc including all); set search_path = second, public"
    )
    conn.execute("insert into second.doc select * from public.doc limit 2")
    embed(conn, "second.doc")

    made = registry(any_database)

    waiting = {"entity": "doc", "embedding": "default", "state": "waiting"}
    assert made.get_sample_value("pgpipe_jobs", waiting | {"schema": "public"}) == 3
    assert made.get_sample_value("pgpipe_jobs", waiting | {"schema": "second"}) == 2


@also_on_16
def test_load_gauges(conn: Connection, any_database: Database) -> None:
    """A failed load shows as failed, while date and success stay those of the last good one."""
    conn.execute(LOADED)

    made = registry(any_database)

    assert made.get_sample_value("pgpipe_last_load_failed", DOC) == 1
    assert made.get_sample_value("pgpipe_loaded_date_timestamp_seconds", DOC) == 1767312000
    assert made.get_sample_value("pgpipe_last_load_rows", DOC | {"kind": "read"}) == 0
    assert made.get_sample_value("pgpipe_loads_total", DOC | {"state": "done"}) == 1
    assert made.get_sample_value("pgpipe_loads_total", DOC | {"state": "failed"}) == 1
    assert made.get_sample_value("pgpipe_loaded_rows_total", DOC | {"kind": "inserted"}) == 5


def test_a_scrape_survives_an_unreachable_database() -> None:
    """`pgpipe_up` says so; the process that serves the metrics goes on."""
    made = registry(Database(DatabaseSettings(url="postgresql://nobody@127.0.0.1:1/none")))

    assert made.get_sample_value("pgpipe_up") == 0
    assert made.get_sample_value("pgpipe_jobs") is None
