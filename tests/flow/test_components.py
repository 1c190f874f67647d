"""Components: one's own, one alone, those that a package offers, and those left out."""

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import pgpipe
from pgpipe.db import Database
from pgpipe.pipeline import component
from pgpipe.pipeline.context import Context
from pgpipe.pipeline.report import StageReport
from pgpipe.settings.sources import load_settings
from pgpipe.source import open_source
from tests.conftest import Cli, Lake
from tests.flow.support import fails, load, newest, rows, stages

ROWS = [{"id": n, "text": f"some words of prose, number {n}, long enough to be chosen"} for n in range(3)]


class Counter:
    """A component that inherits nothing."""

    name = "count"

    def process_entity(self, entity, context):
        with context.database.connect() as conn:
            found = conn.execute(f'select count(*) from "{entity.name}"').fetchone()[0]
        return StageReport(entity.name, self.name, read=found)


class Breaker(pgpipe.Component):
    """A component with a fault."""

    name = "break"

    def process_entity(self, entity, context):
        with self.progress(entity, context, 1) as advance:
            advance(1)
        raise ZeroDivisionError(f"the text of row 'secret prose' of {entity.name}")


class Silent(pgpipe.Component):
    """A component without anything to tell."""

    name = "silent"

    def process_entity(self, entity, context):
        """Nothing to do."""


@pytest.fixture
def source(lake: Lake) -> str:
    """Two entities."""
    for entity in ("book", "product"):
        lake.put("2026-01-01", entity, ROWS)
    return lake.url


def pipeline(database: Database, url: str, components: list, **options) -> pgpipe.Pipeline:
    """A pipeline over the source."""
    return pgpipe.Pipeline(load_settings(options={"source": {"url": url}} | options), components, database)


def test_one_of_ones_own_runs_after_the_others(database: Database, source: str) -> None:
    """A plain class with the two names is one; what it reports stands in the report, timed."""
    report = pipeline(database, source, [pgpipe.ParquetImporter(), Counter(), Silent()]).run()

    assert [(s.entity, s.stage, s.state, s.read) for s in report.stages] == [
        (entity, *stage)
        for entity in ("book", "product")
        for stage in (("import", "ok", 3), ("count", "ok", 3), ("silent", "ok", None))
    ]
    assert report.exit_code == 0


def test_a_fault_is_caught_and_its_text_is_not_told(
    database: Database, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The entity's later components are left out, the other entity is not; what stood in quotes could be of a row."""
    report = pipeline(database, source, [pgpipe.ParquetImporter(), Breaker(), Counter()]).run()

    assert [(s.entity, s.stage, s.state) for s in report.stages] == [
        (entity, *stage) for entity in ("book", "product") for stage in (("import", "ok"), ("break", "failed"))
    ]
    assert report.exit_code == 1
    assert report.failures[0] == "book: ZeroDivisionError: the text of row … of book"
    assert "secret prose" not in "".join(capsys.readouterr())


def test_each_is_usable_alone(database: Database, source: str) -> None:
    """Import, then search, then the declaration of the embedding, each called by itself on one entity."""
    settings = load_settings(options={"source": {"url": source}, "entity": {"book": {"key": ["id"]}}})
    context = Context(settings, database, open_source(settings.source))
    book = newest(context.source)[0]

    assert pgpipe.ParquetImporter().run(book, context).inserted == 3
    assert pgpipe.SearchIndexer().run(book, context).state == "ok"
    assert pgpipe.EmbeddingsGenerator().run(book, context).note == "3 rows wait for `pgpipe embedder`"
    assert len(pgpipe.search("prose", "book", "text", settings=settings, database=database)) == 3


def test_one_that_fails_alone_reports_it(database: Database, source: str) -> None:
    """`run` raises nothing."""
    settings = load_settings(options={"source": {"url": source}, "entity": {"book": {"key": ["isbn"]}}})
    context = Context(settings, database, open_source(settings.source))
    book = newest(context.source)[0]

    done = pgpipe.ParquetImporter().run(book, context)

    assert (done.state, done.exit_code) == ("failed", 1)
    assert "'isbn'" in done.note


def offer(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Let a package offer a component."""
    point = EntryPoint(name, value, component.GROUP)
    monkeypatch.setattr(component, "entry_points", lambda group: [point] if group == component.GROUP else [])


def test_one_that_a_package_offers_is_run(cli: Cli, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By `pgpipe load`, after the built-in ones; and it can be skipped by its name."""
    offer(monkeypatch, "count", f"{__name__}:Counter")
    monkeypatch.setattr(EntryPoint, "load", lambda _self: Counter)

    assert load(cli, source)["book", "count"]["read"] == 3

    Path("pgpipe.toml").write_text("[entity.book]\nskip = ['count']\n")
    done = load(cli, source)
    assert (done["book", "count"]["state"], done["product", "count"]["state"]) == ("skipped", "ok")


@pytest.mark.parametrize("value", ["no.such:Thing", "json:JSONDecoder"])
def test_one_that_is_none_is_named(cli: Cli, source: str, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """With its package; nothing is done."""
    offer(monkeypatch, "mine", value)

    fails(cli("load", "--source", source), 2, value)


def test_skips_by_option_and_by_configuration(cli: Cli, database: Database, source: str) -> None:
    """For all entities by option, for one by `search = false`; a skipped search leaves no column."""
    Path("pgpipe.toml").write_text("[entity.book]\nsearch = false\n")
    options = ("--source", source, "--json", "--skip-embeddings")
    plan = {e["entity"]: e for e in json.loads(cli("plan", *options).out)}
    assert (plan["book"]["embed"], plan["product"]["embed"]) == (None, None)
    assert plan["product"]["search"] is not None

    done = stages(cli("load", *options))

    assert done["book", "search"]["state"] == "skipped"
    assert done["product", "search"]["state"] == "ok"
    assert ("book", "embed") not in done
    columns = "select table_name, column_name from information_schema.columns where column_name = 'search'"
    assert [t for t, _ in rows(database, columns) if t in {"book", "product"}] == ["product"]
    assert ("product", "search") not in stages(cli("load", "--source", source, "--json", "--skip-search"))


def test_a_misspelt_skip_is_named(cli: Cli, source: str) -> None:
    """It would be run after all."""
    Path("pgpipe.toml").write_text("[entity.book]\nskip = ['embeded']\n")

    fails(cli("load", "--source", source), 2, "skip: unknown component 'embeded'; did you mean 'embed'?")


@pytest.mark.parametrize("table", ["load", "entity.book"])
def test_skip_is_for_components_of_other_packages(cli: Cli, source: str, table: str) -> None:
    """A step of pgpipe's own is switched off in one way; the message says which."""
    Path("pgpipe.toml").write_text(f"[{table}]\nskip = ['search']\n")

    fails(
        cli("load", "--source", source), 2, f"{table}.skip: skip is for components of other packages", "search = false"
    )
