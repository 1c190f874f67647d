"""What the components of a run share: settings, database, source, progress; and which entities a date has."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

from pgpipe import errors
from pgpipe.choose import Choice, choose
from pgpipe.db import Connection, Database, Patience, translated
from pgpipe.load.plan.outline import Consent
from pgpipe.pipeline.group import Group
from pgpipe.schema import require_version
from pgpipe.settings.entity import EntitySettings
from pgpipe.settings.model import Settings
from pgpipe.source import Source
from pgpipe.source.dates import choose_date, find_newest
from pgpipe.source.layout import EntityFiles, Lake

Advance = Callable[[int], None]
Bar = Callable[[str, int], AbstractContextManager[Advance]]  # label, total -> what takes the rows done


def no_bar(_label: str, _total: int) -> AbstractContextManager[Advance]:
    """Progress that is not shown."""
    return nullcontext(lambda _rows: None)


def no_word(_line: str) -> None:
    """Messages that are not shown."""


@dataclass
class Context:
    """What components share during a run."""

    settings: Settings
    database: Database
    source: Source
    bar: Bar = no_bar
    override: dict[str, Any] = field(default_factory=dict)  # mode and key for every entity, from the command line
    skip: frozenset[str] = frozenset()  # components that this run leaves out
    accept: frozenset[str] = frozenset()  # rules that this run lets pass
    named: frozenset[str] = frozenset()  # entities that the command line names
    until: date | None = None  # the last of a range of dates
    late: frozenset[str] = frozenset()  # entities of the date that passed it already
    tell: Callable[[str], None] = no_word  # takes messages for a waiting user, one line each
    groups: dict[str, Group] = field(default_factory=dict)  # entities of the date that are loaded together
    _choices: dict[str, list[Choice]] = field(default_factory=dict)

    @cached_property
    def lake(self) -> Lake:
        """The dates and entities of the source."""
        return Lake(self.source, self.settings.source.layout)

    def forget_lake(self) -> None:
        """Look at the source again when it is next asked for."""
        self.__dict__.pop("lake", None)

    def entity(self, name: str) -> EntitySettings:
        """What holds for an entity."""
        return self.settings.for_entity(name).model_copy(update=self.override)

    @property
    def patience(self) -> Patience:
        """How long locks are waited for."""
        return Patience(self.settings.load.lock_wait, self.tell)

    def consent(self, entity: str) -> Consent:
        """What the user has agreed to for an entity."""
        return Consent(
            entity in self.settings.entity or entity in self.named, self.accept, self.until, entity in self.late
        )

    def choices(self, files: EntityFiles) -> list[Choice]:
        """Which text columns the data itself suggests, from a sample of the first file."""
        if files.entity not in self._choices:
            from pgpipe.load.rows.sample import sample

            self._choices[files.entity] = choose(sample(self.source, files, self.entity(files.entity)))
        return self._choices[files.entity]


def select_entities(context: Context, wanted_date: str, entities: Sequence[str]) -> list[EntityFiles]:
    """The entities of the date that counts, or those named. Each has its own newest date if its folder lies above them.

    Raises:
        UsageError: an entity that the date does not have.
        SourceError: the date does not exist, or holds nothing.
    """
    lake, gate = context.lake, context.settings.source.complete
    day = None if wanted_date == "latest" and lake.by_entity else choose_date(lake, wanted_date, gate)
    what, names = day or "any date", lake.entity_names(day)
    if not names:
        raise errors.SourceError(f"{lake.source.url}: the folder of {what} has no entity folder in it")
    for name in entities:
        if name not in names:
            raise errors.UsageError(f"{lake.source.url} has no entity {name!r} on {what}; it has {', '.join(names)}")
    chosen = [name for name in names if not entities or name in entities]
    return lake.entities(day, chosen) if day else find_newest(lake, gate, chosen)


def select_of_date(context: Context, day: date, entities: Sequence[str]) -> list[EntityFiles]:
    """The entities of a date of a range that are complete, or of those named; the date need not have each."""
    lake, gate = context.lake, context.settings.source.complete
    names = [name for name in lake.entity_names(day) if not entities or name in entities]
    complete = [name for name in names if not lake.by_entity or lake.is_complete(day, gate, name)]
    return lake.entities(day, complete) if complete else []


def require_schema(conn: Connection, targets: str) -> None:
    """Look once for all entities, before any is tried.

    Raises:
        SchemaMissing: `pgpipe migrate` has not run, or another version of it.
        UsageError: the schema of the targets is not there.
    """
    require_version(conn)
    require_home(conn, targets)


def require_home(conn: Connection, targets: str) -> None:
    """Look whether the schema of the targets is there.

    Raises:
        UsageError: it is not.
    """
    with translated():
        there = conn.execute("select from pg_catalog.pg_namespace where nspname = %s", (targets,)).fetchone()
    if there is None:
        raise errors.UsageError(f"database.schema: the database has no schema {targets!r}; create it, or name another")
