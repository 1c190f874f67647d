"""The run: components over entities, with a report. One entity's failure leaves the others done."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from time import monotonic
from typing import Any, Literal, Protocol

import pyarrow as pa
import structlog

from pgpipe import errors
from pgpipe.choose import SAMPLE_ROWS, Choice, choose
from pgpipe.config import EntitySettings, SearchDeclaration, Settings
from pgpipe.db import Connection, Database, translated
from pgpipe.embed import declare as embedding
from pgpipe.embed.model import dimensions
from pgpipe.embed.worker import Worker
from pgpipe.load.copy import Unit, read_batches
from pgpipe.load.loader import Loader, Plan
from pgpipe.load.preflight import read_footer
from pgpipe.report import Report, StageReport
from pgpipe.search import declare as search
from pgpipe.source import Source, open_source
from pgpipe.source.layout import Drop, choose_date, find_drops

log = structlog.get_logger()
Advance = Callable[[int], None]
Bar = Callable[[str, int], AbstractContextManager[Advance]]  # label, total -> what takes the rows done


@dataclass
class Context:
    """What components share during a run."""

    settings: Settings
    database: Database
    source: Source
    bar: Bar
    override: dict[str, Any] = field(default_factory=dict)  # mode and key for every entity, from the command line
    _choices: dict[str, list[Choice]] = field(default_factory=dict)

    def entity(self, name: str) -> EntitySettings:
        """What holds for an entity."""
        return self.settings.for_entity(name).model_copy(update=self.override)

    def choices(self, drop: Drop) -> list[Choice]:
        """Which text columns the data itself suggests, from a sample of the first file."""
        if drop.entity not in self._choices:
            self._choices[drop.entity] = choose(_sample(self.source, drop))
        return self._choices[drop.entity]


class Component(Protocol):
    """A step of the pipeline. A class with these two is one."""

    name: str

    def process_entity(self, drop: Drop, context: Context) -> StageReport:
        """Do the step for one entity; raise PgpipeError where it cannot be done."""
        ...


class ParquetImporter:
    """Files to target."""

    name = "import"

    def __init__(self, *, search: bool = True) -> None:
        self._search = search

    def process_entity(self, drop: Drop, context: Context) -> StageReport:
        """Load the drop."""
        loader = Loader(context.database, context.source, context.settings.load.jobs)
        settings = context.entity(drop.entity)

        def prepare(conn: Connection, _plan: Plan) -> None:
            # Made with the empty table, the search column costs no second pass over the rows.
            if self._search and (declared := _search_plan(drop, settings, context)):
                search.enable(conn, "pgpipe_staging", drop.entity, declared, index=False)

        with ExitStack() as stack:  # the bar opens once the plan says how many rows there are

            def start(plan: Plan) -> Advance:
                return stack.enter_context(context.bar(f"{drop.entity}: load", plan.rows))

            plan, counts = loader.load(drop, settings, prepare, start)
        rows = asdict(counts)
        filled = rows.pop("filled")
        return StageReport(drop.entity, self.name, _state(plan), **rows, note=_note(plan, filled))


class SearchIndexer:
    """The search column, its index and its lexeme table."""

    name = "search"

    def process_entity(self, drop: Drop, context: Context) -> StageReport:
        """Declare the search column where it is missing, and refresh what ranking reads."""
        settings = context.entity(drop.entity)
        schema = context.database.schema
        with context.database.connect(autocommit=True) as conn, translated():
            known = search.is_declared(conn, schema, drop.entity)
            declared = _search_plan(drop, settings, context) if settings.search or not known else None
            if declared:
                search.enable(conn, schema, drop.entity, declared)
            elif not known:
                return StageReport(drop.entity, self.name, "skipped", note=_why_not(settings.search))
            search.refresh(conn, schema, drop.entity)
        return StageReport(drop.entity, self.name)


class EmbeddingsGenerator:
    """The embedding: declared, and with `drain` worked off."""

    name = "embed"

    def __init__(self, *, drain: bool) -> None:
        self._drain = drain
        self._worker: Worker | None = None

    def process_entity(self, drop: Drop, context: Context) -> StageReport:
        """Declare the embedding where it is missing, which enqueues all rows; then compute what is waiting."""
        settings = context.entity(drop.entity)
        try:
            if not self._declare(drop, settings, context):
                return StageReport(drop.entity, self.name, "skipped", note=_why_not(settings.embed))
        except errors.VectorsMissing as exc:
            return StageReport(drop.entity, self.name, "skipped", note=str(exc))
        with context.database.connect() as conn:
            waiting = _waiting(conn, drop.entity)
        if not self._drain or not waiting:
            note = f"{waiting:,} rows wait for `pgpipe embedder`" if waiting else "all vectors are fresh"
            return StageReport(drop.entity, self.name, "ok" if waiting else "nothing to do", note=note)
        return self._work_off(drop, context, waiting)

    def _declare(self, drop: Drop, settings: EntitySettings, context: Context) -> bool:
        schema = context.database.schema
        with context.database.connect(autocommit=True) as conn, translated():
            known = embedding.find(conn, schema, drop.entity)
            if known and settings.embed is None:
                return True
            choices = context.choices(drop) if settings.embed is None else []
            declared = embedding.plan_embedding(settings, choices)
            if declared is None:
                return False
            if known and known.serves(declared, context.settings.embedding.model):
                return True
            dims = dimensions(context.settings.embedding)
            embedding.enable(conn, schema, drop.entity, declared, context.settings.embedding.model, dims)
            return True

    def _work_off(self, drop: Drop, context: Context, waiting: int) -> StageReport:
        with context.bar(f"{drop.entity}: embed", waiting) as advance:
            if self._worker is None:
                self._worker = Worker(context.database, context.settings.embedding)
            self._worker.progress = lambda _entity, jobs: advance(jobs)
            before = replace(self._worker.totals, embedded=dict(self._worker.totals.embedded))
            after = self._worker.drain([drop.entity])
        failed = after.failed - before.failed
        note = f"{failed} rows failed; see `pgpipe jobs list`" if failed else ""
        embedded = after.embedded.get(drop.entity, 0) - before.embedded.get(drop.entity, 0)
        return StageReport(
            drop.entity,
            self.name,
            "failed" if failed else "ok",
            unchanged=after.fresh - before.fresh,
            embedded=embedded,
            note=note,
            exit_code=int(bool(failed)),
        )


class Pipeline:
    """Components run over the entities of one date."""

    def __init__(
        self,
        settings: Settings,
        components: Sequence[Component],
        database: Database | None = None,
        source: Source | None = None,
        bar: Bar = lambda _label, _total: nullcontext(lambda _n: None),
        override: dict[str, Any] | None = None,
    ) -> None:
        self._components = components
        self._context = Context(
            settings,
            database or Database(settings.database),
            source or open_source(settings.source),
            bar,
            override or {},
        )

    def run(self, wanted_date: str = "latest", entities: Sequence[str] = ()) -> Report:
        """Run every component over every entity, or over those named.

        Raises:
            UsageError: an entity that the date does not have.
            SourceError, Unreachable, SchemaMissing: nothing can be done at all.
        """
        day, drops = select_drops(self._context, wanted_date, entities)
        with self._context.database.connect() as conn:
            require_schema(conn, self._context.database.schema)
        report = Report(day)
        for drop in drops:
            self._run_entity(drop, report)
        return report

    def _run_entity(self, drop: Drop, report: Report) -> None:
        for component in self._components:
            began = monotonic()
            try:
                stage = component.process_entity(drop, self._context)
            except errors.PgpipeError as exc:
                stage = StageReport(drop.entity, component.name, "failed", note=str(exc), exit_code=exc.exit_code)
            except Exception as exc:  # a fault of one entity must not take the others along
                log.exception("unexpected error", entity=drop.entity, stage=component.name)
                note = f"{type(exc).__name__}: {exc}"
                stage = StageReport(drop.entity, component.name, "failed", note=note, exit_code=1)
            report.stages.append(replace(stage, seconds=round(monotonic() - began, 2)))
            if stage.state == "failed":
                return


def select_drops(context: Context, wanted_date: str, entities: Sequence[str]) -> tuple[date, list[Drop]]:
    """The date that counts and its entities, or those named.

    Raises:
        UsageError: an entity that the date does not have.
        SourceError: there is no such date, or nothing in it.
    """
    source = context.source
    day, folder = choose_date(source, wanted_date, context.settings.source.complete)
    drops = {drop.entity: drop for drop in find_drops(source, day, folder)}
    if not drops:
        raise errors.SourceError(f"{source.url}: the folder of {day} has no entity folder in it")
    for name in entities:
        if name not in drops:
            raise errors.UsageError(f"{source.url} has no entity {name!r} on {day}; there are {', '.join(drops)}")
    return day, [drop for name, drop in drops.items() if not entities or name in entities]


def require_schema(conn: Connection, targets: str) -> None:
    """Look once for all entities, before any is tried.

    Raises:
        SchemaMissing: `pgpipe migrate` has not run.
        UsageError: the schema of the targets is not there.
    """
    with translated():
        conn.execute("select from pgpipe.sql_file limit 1")
        there = conn.execute("select from pg_catalog.pg_namespace where nspname = %s", (targets,)).fetchone()
    if there is None:
        raise errors.UsageError(f"database.schema: the database has no schema {targets!r}; create it, or name another")


def _search_plan(drop: Drop, settings: EntitySettings, context: Context) -> SearchDeclaration | None:
    choices = context.choices(drop) if settings.search is None else []
    return search.plan_search(settings, choices).declaration


def _state(plan: Plan) -> Literal["ok", "nothing to do"]:
    return "nothing to do" if plan.action in {"nothing", "recognise"} else "ok"


def _note(plan: Plan, filled: int) -> str:
    files = len(plan.skipped)
    if plan.action == "recognise":
        return f"the same bytes as the snapshot before: {files} file{'s' * (files != 1)} recognised"
    if plan.action == "nothing":
        return f"{files} file{'s' * (files != 1)} in the ledger"
    notes = [f"new column {c.name}" for c in plan.evolution.add]
    notes += [f"{filled:,} rows written to fill it"] if filled else []
    notes += [f"{c.name} widened to {c.sql}" for c in plan.evolution.widen]
    if not plan.key:
        notes.append("no key: rows are appended")
    return "; ".join(notes)


def _why_not(setting: object) -> str:
    return "switched off" if setting is False else "no column holds prose"


def _waiting(conn: Connection, entity: str) -> int:
    with translated():
        row = conn.execute("select sum(waiting) from pgpipe.embedding_status where entity = %s", (entity,)).fetchone()
    return int(row[0] or 0) if row else 0


def _sample(source: Source, drop: Drop) -> pa.Table:
    for file in drop.files:
        part = read_footer(source, file)
        if part.rows and part.rows[0]:
            batch = next(read_batches(source, Unit(part, 0)))
            return pa.Table.from_batches([batch.slice(0, SAMPLE_ROWS)])
    return pa.table({})
