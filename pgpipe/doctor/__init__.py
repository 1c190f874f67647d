"""Doctor: is everything there that a load, the embedder and a search need? Each finding says what to do."""

from collections.abc import Callable, Iterator
from functools import partial

from pgpipe import errors
from pgpipe.db import Database
from pgpipe.doctor import database, machine, source
from pgpipe.doctor.finding import Finding, failure
from pgpipe.mask import said
from pgpipe.settings.model import Settings

__all__ = ["Finding", "examine", "exit_code"]


def examine(settings: Settings, connection: Database, *, model: bool = True) -> Iterator[Finding]:
    """Look at installation, source, database, model and machine, in that order; each finding as it is made.

    Changes nothing.

    Args:
        settings: what to look at.
        connection: the database of the settings.
        model: load the model, which takes seconds and may download it.
    """
    yield from _careful("installation", machine.examine_installation)
    for name, each in settings.by_source().items():
        yield from _careful(name, partial(source.examine, each.source, name))
    yield from _careful("database", lambda: database.examine(settings, connection))
    yield from _careful("allowed models", lambda: machine.examine_allowed(settings.embedding, connection))
    for each in settings.by_source().values():
        yield from _careful("dates", partial(source.examine_dates, each, connection))
    if model:
        yield from _careful("model", lambda: machine.examine_model(settings.embedding, connection))
    yield from _careful("disk", lambda: machine.examine_disk(settings))


def _careful(name: str, checks: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """A check that cannot go on is a finding itself, and the next part is looked at."""
    try:
        yield from checks()
    except errors.PgpipeError as exc:
        yield failure(name, str(exc), exit_code=exc.exit_code)
    except Exception as exc:  # noqa: BLE001 - a doctor examines what is broken
        yield failure(name, said(exc))


def exit_code(findings: list[Finding]) -> int:
    """0 without failures; 3 where source or database cannot be reached, else the code of the first failure."""
    codes = [f.exit_code for f in findings if f.state == "failure"]
    return max(codes, default=0)
