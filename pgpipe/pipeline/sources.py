"""Several sources in one configuration: each with its entities; one that is down stops no other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from pgpipe.errors import PgpipeError, UsageError
from pgpipe.pipeline.report import Report, StageReport
from pgpipe.pipeline.run import Pipeline
from pgpipe.settings.model import Settings
from pgpipe.source import open_source
from pgpipe.source.layout import Lake


@dataclass
class Share:
    """A source, and which of its entities a command is about."""

    name: str  # of its settings
    settings: Settings  # in which it is the only source
    entities: Sequence[str] = ()  # all, if it is the only source and none is named
    error: PgpipeError | None = None  # why nothing of it can be done


def share_out(settings: Settings, entities: Sequence[str]) -> list[Share]:
    """Every source with its entities, or with those named. A source that has none of them is left out.

    Raises:
        UsageError: an entity that no source has.
    """
    apart = settings.by_source()
    if len(apart) == 1:
        ((name, only),) = apart.items()
        return [Share(name, only, entities or only.source.entities)]
    shares = [_share(name, each, entities) for name, each in apart.items()]
    there = {entity for share in shares for entity in share.entities}
    if missing := [entity for entity in entities if entity not in there]:
        raise UsageError(f"no source has the entity {missing[0]!r}; they have {', '.join(sorted(there))}")
    _refuse_shared(shares)
    return [share for share in shares if share.entities or share.error]


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
        PgpipeError: the only source cannot be loaded at all.
    """
    shares = share_out(settings, entities)
    for share in shares:
        try:
            if share.error:
                raise share.error
            pipeline = make(share.settings)
            wait(pipeline, share.entities)
            yield from pipeline.run_dates(wanted, share.entities, since)
        except PgpipeError as exc:
            if len(settings.by_source()) == 1:
                raise
            yield Report(None, [StageReport(share.name, "source", "failed", note=str(exc), exit_code=exc.exit_code)])


def _share(name: str, settings: Settings, entities: Sequence[str]) -> Share:
    own = settings.source.entities
    try:
        lake = Lake(open_source(settings.source), settings.source.layout)
        there = lake.entity_names(None if lake.by_entity else lake.dates()[-1])
    except PgpipeError as exc:
        return Share(name, settings, error=exc)
    return Share(name, settings, [e for e in there if (not own or e in own) and (not entities or e in entities)])


def _refuse_shared(shares: Sequence[Share]) -> None:
    """An entity that two sources bring would be one table of two."""
    for share in shares:
        for other in shares:
            both = [entity for entity in share.entities if entity in other.entities]
            if both and share is not other:
                share.error = UsageError(
                    f"{share.name} and {other.name} both bring {both[0]!r}; name the entities of each by"
                    f" {share.name}.entities"
                )
