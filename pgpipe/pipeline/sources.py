"""Several sources in one configuration: each with its entities; one that is down stops no other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from pgpipe.errors import PgpipeError, UsageError
from pgpipe.pipeline.report import Report, StageReport
from pgpipe.pipeline.run import Pipeline
from pgpipe.settings.model import Settings


@dataclass
class _Turn:
    """A source, and what of it is loaded."""

    name: str
    pipeline: Pipeline | None = None
    entities: Sequence[str] = ()
    error: PgpipeError | None = None


def run_sources(
    settings: Settings,
    make: Callable[[Settings], Pipeline],
    wait: Callable[[Pipeline, Sequence[str]], None],
    wanted: str,
    entities: Sequence[str],
    since: date | None,
) -> Iterator[Report]:
    """Run over every source; a report as soon as a date of one is done, and one that says what failed as a whole.

    Raises:
        UsageError: an entity that no source has.
    """
    apart = settings.by_source()
    if len(apart) == 1:
        ((_, only),) = apart.items()
        pipeline, chosen = make(only), entities or only.source.entities
        wait(pipeline, chosen)
        yield from pipeline.run_dates(wanted, chosen, since)
        return
    turns = [_turn(name, each, make, entities) for name, each in apart.items()]
    there = {entity for turn in turns for entity in turn.entities}
    if missing := [entity for entity in entities if entity not in there]:
        raise UsageError(f"no source has the entity {missing[0]!r}; they have {', '.join(sorted(there))}")
    _refuse_shared(turns)
    for turn in turns:
        try:
            if turn.error or turn.pipeline is None:
                raise turn.error or UsageError("it has no pipeline")
            if turn.entities:
                wait(turn.pipeline, turn.entities)
                yield from turn.pipeline.run_dates(wanted, turn.entities, since)
        except PgpipeError as exc:
            yield Report(None, [StageReport(turn.name, "source", "failed", note=str(exc), exit_code=exc.exit_code)])


def _turn(name: str, settings: Settings, make: Callable[[Settings], Pipeline], entities: Sequence[str]) -> _Turn:
    try:
        pipeline = make(settings)
        there, own = pipeline.entity_names(), settings.source.entities
    except PgpipeError as exc:
        return _Turn(name, error=exc)
    return _Turn(name, pipeline, [e for e in there if (not own or e in own) and (not entities or e in entities)])


def _refuse_shared(turns: Sequence[_Turn]) -> None:
    """An entity that two sources bring would be one table of two."""
    for turn in turns:
        for other in turns:
            shared = [entity for entity in turn.entities if entity in other.entities]
            if shared and turn is not other:
                turn.error = UsageError(
                    f"{turn.name} and {other.name} both bring {shared[0]!r}; name the entities of each by"
                    f" {turn.name}.entities"
                )
