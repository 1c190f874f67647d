"""The shape of a component, and what each gets: timing, error capture, progress, its line in the report and the log."""

from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from importlib.metadata import entry_points
from time import monotonic
from typing import Any, Protocol, runtime_checkable

from pgpipe import errors
from pgpipe.log import get_logger
from pgpipe.mask import said, trace
from pgpipe.pipeline.context import Advance, Context
from pgpipe.pipeline.report import StageReport
from pgpipe.source.layout import EntityFiles

GROUP = "pgpipe.components"  # of entry points: name = "package.module:Class"
UNSAID = {"exit_code", "gate"}
log = get_logger(__name__)


@runtime_checkable
class Step(Protocol):
    """Whatever has these two is a component."""

    name: str

    def process_entity(self, entity: EntityFiles, context: Context, /) -> StageReport | None:
        """Do the step for one entity; None stands for a report that says ok."""
        ...


class Component:
    """A base for components; one that stands on its own feet needs only `name` and `process_entity`."""

    name: str

    def process_entity(self, entity: EntityFiles, context: Context) -> StageReport | None:
        """Do the step for one entity: its files, name and date in `entity`, settings and database in `context`.

        Raise PgpipeError where it cannot be done: the entity's later components are left out, other entities are not.
        """
        raise NotImplementedError

    def run(self, entity: EntityFiles, context: Context) -> StageReport:
        """Do the step alone, outside of a pipeline: timed, errors caught; the report says what failed."""
        return perform(self, entity, context)

    def report(self, entity: EntityFiles, **what: Any) -> StageReport:  # noqa: ANN401 - the fields of a report
        """A line for the report: `state`, `note`, and rows `read`, `inserted`, `updated`, `deleted`, `unchanged`."""
        return StageReport(entity.entity, self.name, **what)

    def progress(self, entity: EntityFiles, context: Context, total: int) -> AbstractContextManager[Advance]:
        """A progress bar over `total` rows; what it yields is called with the rows done since the last call."""
        return context.bar(f"{entity.entity}: {self.name}", total)


def perform(component: Step, entity: EntityFiles, context: Context) -> StageReport:
    """Run one component over one entity; what it raises is caught and reported, so that other entities go on."""
    began = monotonic()
    if component.name in context.entity(entity.entity).skip:
        done = StageReport(entity.entity, component.name, "skipped", note="left out by the configuration")
    else:
        try:
            done = component.process_entity(entity, context) or StageReport(entity.entity, component.name)
        except errors.PgpipeError as exc:
            gate = isinstance(exc, errors.GateFailed)
            done = StageReport(
                entity.entity, component.name, "failed", note=str(exc), exit_code=exc.exit_code, gate=gate
            )
        except Exception as exc:  # noqa: BLE001 - a fault of one entity must not take the others along
            log.critical("unexpected error", entity=entity.entity, stage=component.name, exception=trace(exc))
            done = StageReport(entity.entity, component.name, "failed", note=said(exc), exit_code=1)
    done = replace(done, seconds=round(monotonic() - began, 2))
    told = {
        name: value
        for name, value in asdict(done).items()
        if value not in {None, "", ()} and name not in {"exit_code", "gate"}
    }
    (log.error if done.state == "failed" else log.info)("stage", **told)
    return done


def installed_components() -> list[Step]:
    """Components that other packages offer by the entry point `pgpipe.components`, by name.

    Raises:
        UsageError: one cannot be loaded, or is not a component; the message names it.
    """
    found: list[Step] = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            component = point.load()()
        except Exception as exc:
            raise errors.UsageError(f"the component {point.name!r} ({point.value}) does not load: {said(exc)}") from exc
        if not isinstance(component, Step):
            raise errors.UsageError(f"{point.value} is not a component: it needs `name` and `process_entity`")
        found.append(component)
    return found
