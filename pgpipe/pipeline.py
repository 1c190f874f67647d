"""The run: components over entities, with a report. One entity's failure leaves the others done."""

from collections.abc import Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, Protocol

import structlog

from pgpipe import errors
from pgpipe.config import Settings
from pgpipe.context import Bar, Context, no_bar, require_schema, select_drops
from pgpipe.db import Database
from pgpipe.report import Report, StageReport
from pgpipe.source import Source, open_source
from pgpipe.source.layout import Drop

log = structlog.get_logger()


class Component(Protocol):
    """A step of the pipeline. A class with these two is one."""

    name: str

    def process_entity(self, drop: Drop, context: Context) -> StageReport:
        """Do the step for one entity; raise PgpipeError where it cannot be done."""
        ...


class Pipeline:
    """Components run over the entities of one date."""

    def __init__(
        self,
        settings: Settings,
        components: Sequence[Component],
        database: Database | None = None,
        source: Source | None = None,
        bar: Bar = no_bar,
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
