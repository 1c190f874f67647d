"""The run: components over entities, with a report. One entity's failure leaves the others done."""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from pgpipe.db import Database
from pgpipe.errors import PgpipeError, UsageError
from pgpipe.log import get_logger
from pgpipe.pipeline.component import Step, installed_components, perform
from pgpipe.pipeline.context import Bar, Context, no_bar, no_word, require_schema
from pgpipe.pipeline.dates import NEW, choose_visits
from pgpipe.pipeline.linked import find_groups
from pgpipe.pipeline.report import Report, StageReport, together
from pgpipe.pipeline.steps import EmbeddingsGenerator, ParquetImporter, SearchIndexer
from pgpipe.pipeline.wait import wait
from pgpipe.settings.layers import nearest
from pgpipe.settings.model import Settings
from pgpipe.settings.sources import load_settings
from pgpipe.source import Source, open_source
from pgpipe.source.layout import EntityFiles

log = get_logger(__name__)


def default_components(*, drain: bool = False) -> list[Step]:
    """Import, search, embed, and then those that other packages offer; `drain`: vectors are computed at once."""
    return [ParquetImporter(), SearchIndexer(), EmbeddingsGenerator(drain=drain), *installed_components()]


class Pipeline:
    """Components run over the entities of one date."""

    def __init__(
        self,
        settings: Settings | None = None,
        components: Sequence[Step] | None = None,
        database: Database | None = None,
        source: Source | None = None,
        bar: Bar = no_bar,
        override: dict[str, Any] | None = None,
        skip: Collection[str] = (),
        accept: Collection[str] = (),
        tell: Callable[[str], None] = no_word,
    ) -> None:
        """Nothing is reached yet.

        Args:
            settings: by default those of the configuration file and the environment.
            components: in the order they run; by default import, search, embed and those that are installed.
            database: by default the one of the settings.
            source: by default the one of the settings.
            bar: how progress is shown.
            override: key and mode for every entity.
            skip: names of components to leave out, besides those of the settings.
            accept: rules that this pipeline lets pass: `max_deleted`, `max_changed`, `min_rows`,
                `checks`, `older`.
            tell: takes messages for a waiting user: another load is in the way, or a lost one is retried.

        Raises:
            UsageError: a component to be skipped does not exist, or an installed one does not load.
        """
        settings = settings or load_settings()
        known = default_components() if components is None else components
        skipped = frozenset(skip) | frozenset(settings.load.skip)
        _check_names(skipped.union(*(entity.skip for entity in settings.entity.values())), known)
        self._components = [component for component in known if component.name not in skipped]
        self._context = Context(
            settings,
            database or Database(settings.database),
            source or open_source(settings.source),
            bar,
            override or {},
            skipped,
            frozenset(accept),
            tell=tell,
        )

    def run(self, wanted: str = NEW, entities: Sequence[str] = (), since: date | None = None) -> Report:
        """Run every component over every entity, or over those named, of every date that is due.

        Args:
            wanted: `new`, `latest`, YYYY-MM-DD or FIRST..LAST.
            entities: by default all.
            since: with `new`: the first date of what was never loaded; by default the newest one.

        Raises:
            UsageError: an entity that the source does not have.
            SourceError, Unreachable, SchemaMissing: nothing can be done at all.
        """
        return together(list(self.run_dates(wanted, entities, since)))

    def wait(self, limit: timedelta, wanted: str = NEW, entities: Sequence[str] = ()) -> str:
        """Wait until the date to load is complete; returns what was waited for in vain, or nothing.

        With `new` and `latest` this is the newest date of the source, and of an entity whose next date is due that one.
        """
        return wait(self._context, wanted, entities, limit)

    def run_dates(self, wanted: str = NEW, entities: Sequence[str] = (), since: date | None = None) -> Iterator[Report]:
        """As `run`, oldest date first; a report as soon as a date is done.

        An entity that fails on a date is left alone on the later ones, whose updates build on it; the others go on.
        """
        failed: dict[str, date] = {}
        visits = choose_visits(self._context, wanted, entities, since)
        for visit in visits:
            self._context.until, self._context.late = visit.until, visit.late
            report = self._run_date(visit.day, visit.list_entities(), failed)
            report.of = len(visits)
            # A late file that is refused keeps no newer date away.
            failed |= {s.entity: visit.day for s in report.stages if s.state == "failed" and s.entity not in visit.late}
            yield report

    def _run_date(self, day: date, listed: list[EntityFiles], failed: dict[str, date]) -> Report:
        alive = [files for files in listed if files.entity not in failed]
        with self._context.database.connect(autocommit=True) as conn:
            require_schema(conn, self._context.database.schema)
            groups = find_groups(conn, self._context, alive)
        self._context.groups = {name: group for group in groups for name in group.names}
        log.info("run", source=self._context.source.url, date=str(day), entities=[files.entity for files in listed])
        report = Report(day)
        for files in listed:
            group = self._context.groups.get(files.entity)
            if files.entity in failed:
                note = f"left alone, because {failed[files.entity]} failed; to go on without that date: --date {day}.."
                report.stages.append(StageReport(files.entity, "import", "skipped", note=note))
            elif group is None:
                self._run_together([files], report)
            elif files is group.members[0]:
                self._run_together(group.members, report)
        log.info("done", exit_code=report.exit_code)
        return report

    def _run_together(self, members: list[EntityFiles], report: Report) -> None:
        """Each component over all of them before the next one."""
        for component in self._components:
            for files in list(members):
                stage = perform(component, files, self._context)
                report.stages.append(stage)
                if stage.state == "failed":
                    members = [other for other in members if other is not files]
                    self._fail_group(files.entity, stage)

    def _fail_group(self, entity: str, stage: StageReport) -> None:
        """What fails before the import keeps all of its group from being loaded."""
        group = self._context.groups.get(entity)
        if group is not None and not group.outcomes:
            error = PgpipeError(stage.note)
            error.exit_code = stage.exit_code
            group.fail(entity, error)


def _check_names(skipped: frozenset[str], components: Sequence[Step]) -> None:
    """A misspelt component would be run after all."""
    names = {"import", "search", "embed", *(component.name for component in components)}
    for name in sorted(skipped - names):
        raise UsageError(f"skip: unknown component {name!r}{nearest(name, names)}")
