"""docs/monitoring.md: its rules and its dashboard are valid, and name no metric that is not exposed."""

import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from pgpipe.db import Connection, Database
from pgpipe.embed.daemon import metrics
from pgpipe.embed.daemon.metrics import Exporter
from pgpipe.embed.totals import Hooks
from pgpipe.embed.worker import Worker
from pgpipe.settings.model import EmbeddingSettings
from pgpipe.web.api.shield import Meters
from tests.sql.fake_model import Fake
from tests.sql.support import embed, make_docs, value
from tests.sql.test_metrics import LOADED

DOCS = Path(__file__).parents[2] / "docs"
RULES = DOCS / "monitoring" / "pgpipe.rules.yml"
DASHBOARD = DOCS / "monitoring" / "pgpipe.dashboard.json"

EARLIER = """
    insert into pgpipe.load (entity, date, mode, started_at, finished_at)
    select 'doc', date '2025-12-01' + n, 'append', now() - interval '9 days', now() - interval '9 days'
      from generate_series(1, 3) n
"""


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return json.loads(DASHBOARD.read_text())["panels"]


def expressions() -> list[str]:
    return [rule["expr"] for rule in alerts()] + [t["expr"] for panel in panels() for t in panel["targets"]]


def names(text: str) -> set[str]:
    return set(re.findall(r"\bpgpipe_[a-z_]+", text))


@pytest.fixture
def exposed(any_database: Database, conn: Connection, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The names of all samples that a database and an embedder at work expose, each with the kind of its metric."""
    make_docs(conn, 2)
    embed(conn)
    conn.execute(LOADED)
    conn.execute(EARLIER)
    conn.execute(
        "insert into pgpipe.source_date (schema, entity, dates, seen_at) values ('public', 'doc', '{}', now())"
    )
    conn.execute("select pgpipe_internal.note_health(embedding_id, 'doc_pkey', 2, 1) from pgpipe.embedding")
    monkeypatch.setattr(metrics, "load_model", lambda _settings: Fake())
    exporter = Exporter(any_database, EmbeddingSettings(model="fake"))
    worker = Worker(any_database, EmbeddingSettings(model="fake"), Hooks(timed=exporter.timed), exporter.load)
    exporter.watch(worker.totals)
    worker.drain()
    while not value(conn, "select (pgpipe_internal.reconcile_rows(embedding_id, 9)).finished from pgpipe.embedding"):
        pass
    meters = Meters()
    meters.requests.labels("/v1/search", "200").inc()
    meters.seconds.labels("/v1/search").observe(0.1)
    collected = [*exporter.registry.collect(), *meters.registry.collect()]
    return {sample.name: family.type for family in collected for sample in family.samples}


@pytest.mark.parametrize("expression", expressions())
def test_expressions_are_valid(expression: str) -> None:
    """Prometheus' grammar takes each."""
    promql_parser.parse(expression)


def test_each_metric_is_exposed_and_described(exposed: dict[str, str]) -> None:
    """Rules, dashboard and page name what is there; the page has every metric, with its kind."""
    page = (DOCS / "monitoring.md").read_text()
    described = dict(re.findall(r"^\| `(pgpipe_[a-z_]+)[^|]*\| (\w+) \|", page, re.MULTILINE))
    bare = {re.sub(r"_(bucket|count|sum)$", "", n): k for n, k in exposed.items() if not n.endswith("_created")}

    assert described == bare
    for expression in expressions():
        assert names(expression) <= set(exposed), expression


def test_names_follow_the_conventions(exposed: dict[str, str]) -> None:
    """A counter ends in _total; a time is in seconds and a share is a ratio."""
    for name, kind in exposed.items():
        if not name.endswith(("_bucket", "_count", "_sum", "_created")):
            assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|minutes|hours|percent|5m)\b", name), name


def test_alerts_say_what_to_do() -> None:
    """Each has a severity and a command, and stands in the table of the page."""
    page = (DOCS / "monitoring.md").read_text()
    assert re.findall(r"^\| `(Pgpipe\w+)`", page, re.MULTILINE) == [rule["alert"] for rule in alerts()]
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert (
            "`pgpipe " in rule["annotations"]["description"] or "Start one more" in rule["annotations"]["description"]
        )


def test_panels_do_not_overlap() -> None:
    """Each has a title, a place of its own on a grid of 24, and the data source that the user chose."""
    cells = [
        (x, y)
        for p in panels()
        for x in range(p["gridPos"]["x"], p["gridPos"]["x"] + p["gridPos"]["w"])
        for y in range(p["gridPos"]["y"], p["gridPos"]["y"] + p["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert all(p["title"] and p["datasource"]["uid"] == "${datasource}" for p in panels())
    assert len({p["id"] for p in panels()}) == len(panels())
