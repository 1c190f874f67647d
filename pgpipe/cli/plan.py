"""pgpipe plan."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

import click
from rich.markup import escape

from pgpipe.cli.app import App, cli
from pgpipe.cli.options import override, skipped, source_options
from pgpipe.cli.plan_text import IDLE, described, in_words
from pgpipe.db import Connection
from pgpipe.embed.declare import plan_embedding
from pgpipe.errors import PgpipeError
from pgpipe.load.loader import Loader
from pgpipe.load.plan.outline import Plan as LoadPlan
from pgpipe.load.plan.scene import Scene
from pgpipe.log import get_logger
from pgpipe.mask import said, trace
from pgpipe.pipeline.context import Context, require_home, require_schema
from pgpipe.pipeline.dates import choose_visits
from pgpipe.pipeline.declared import require_declared
from pgpipe.pipeline.linked import plan_groups
from pgpipe.pipeline.sources import share_out
from pgpipe.schema import is_migrated
from pgpipe.searching.declare import plan_search
from pgpipe.settings.model import Settings
from pgpipe.source import open_source
from pgpipe.source.layout import EntityFiles
from pgpipe.source.tree import draw

log = get_logger(__name__)
HEADING = ("entity", "date", "files", "bytes")


@dataclass
class Planning:
    """The entities of the dates that a command names, and what it says of each."""

    app: App
    url: str | None
    day: str
    since: date | None
    entities: Sequence[str]
    mode: str | None
    key: str | None
    accept: Sequence[str]
    jobs: int | None
    skip_search: bool
    skip_embeddings: bool
    as_json: bool
    settings: Settings  # with the one source that it looks at

    def __post_init__(self) -> None:
        """Look what the source has."""
        app, settings = self.app, self.settings
        source = open_source(settings.source)
        skip = skipped(self.skip_search, self.skip_embeddings).union(settings.load.skip)
        self.run = Context(settings, app.database, source, app.bar, override(self.mode, self.key), skip)
        self.run.accept, self.run.tell = frozenset(self.accept), app.tell
        self.visits = choose_visits(self.run, self.day, self.entities, self.since, early=True)
        self.taken: list[list[EntityFiles]] = []  # what is loaded together, as far as it was listed

    @property
    def listed(self) -> Iterator[EntityFiles]:
        """The entities of each date, oldest first; what the user has agreed to is then that of the date."""
        for visit in self.visits:
            self.run.until, self.run.late = visit.until, visit.late
            self.taken.append(visit.list_entities())
            yield from self.taken[-1]

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """A connection to a database that was migrated."""
        with self.app.database.connect(autocommit=True) as conn:  # a refused entity must not stop the others
            require_schema(conn, self.app.database.schema)
            yield conn

    @contextmanager
    def connected_early(self) -> Iterator[tuple[Connection, bool]]:
        """A connection, and whether its database was migrated."""
        with self.app.database.connect(autocommit=True) as conn:
            migrated = is_migrated(conn)
            (require_schema if migrated else require_home)(conn, self.app.database.schema)
            yield conn, migrated


@cli.command()
@source_options
@click.pass_context
def plan(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - the options of source_options
    """Print what `load` would do and why; touches nothing.

    Of the files it reads the footers. It reads a sample of one if it chooses columns for search from the data.
    """
    app: App = context.obj
    found, code = of_each_source(app, options, _plan_source)
    if options["as_json"]:
        app.print_json(found)
    context.exit(max(code, int(any("refused" in entry for entry in found))))


def of_each_source(
    app: App, options: dict[str, Any], look: Callable[[Planning], list[dict[str, Any]]]
) -> tuple[list[dict[str, Any]], int]:
    """What a command finds in every source, and 1 if one cannot be looked at; the others are."""
    app.set("source", url=options["url"])
    app.set("load", jobs=options["jobs"])
    settings = app.settings.by_source()["source"] if options["url"] else app.settings
    found: list[dict[str, Any]] = []
    code = 0
    for share in share_out(settings, options["entities"]):
        try:
            if share.error:
                raise share.error
            found += look(Planning(app, **options | {"entities": share.entities, "settings": share.settings}))
        except PgpipeError as exc:
            if len(settings.by_source()) == 1:
                raise
            click.echo(f"pgpipe: {share.name}: {exc}", err=True)
            code = 1
    return found, code


def _plan_source(planning: Planning) -> list[dict[str, Any]]:
    app = planning.app
    with planning.connected_early() as (conn, migrated):
        planner = _Planner(planning.run, conn, migrated)
        plans = [(files, planned_entry(files, partial(planner.planned, files))) for files in planning.listed]
        if migrated:
            plan_links(planning, conn, plans)
        else:
            app.tell("the database has no schema of pgpipe: before the first load, run `pgpipe migrate`")
    found = [entry for _, entry in plans]
    if not planning.as_json:
        for line in draw(planning.run.lake, [files for files, _ in plans]):
            app.out.print(line, markup=False, highlight=False, soft_wrap=True)
        for entry in found:
            _print_plan(app, entry)
    return found


def planned_entry(files: EntityFiles, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a command says of an entity; if it is refused, why."""
    name = files.entity
    entry: dict[str, Any] = {"entity": name, "date": files.date, "files": len(files.files), "bytes": files.bytes}
    try:
        entry |= work()
    except PgpipeError as exc:
        entry["refused"] = str(exc).removeprefix(f"{name}: ")
    except Exception as exc:  # noqa: BLE001 - a fault of one entity must not take the others along
        log.critical("unexpected error", entity=name, exception=trace(exc))
        entry["refused"] = said(exc)
    if "refused" in entry:
        click.echo(f"pgpipe: {name}: {entry['refused']}", err=True)
    return entry


def plan_links(planning: Planning, conn: Connection, planned: list[tuple[EntityFiles, dict[str, Any]]]) -> None:
    """What keeps entities that are loaded together from it because foreign keys link them."""
    for members in ({id(files) for files in taken} for taken in planning.taken):
        of_date = [(files, entry) for files, entry in planned if id(files) in members]
        refused = {entry["entity"] for _, entry in of_date if "refused" in entry}
        busy = {entry["entity"] for _, entry in of_date if entry.get("action", "nothing") not in IDLE}
        found = plan_groups(conn, planning.run, [files for files, _ in of_date], busy, refused)
        for _, entry in of_date:
            if why := found.get(entry["entity"]):
                entry["refused"] = why
                click.echo(f"pgpipe: {entry['entity']}: {why}", err=True)


class _Planner:
    """Plans entities, each date after what the loads of those before it will have done."""

    def __init__(self, run: Context, conn: Connection, migrated: bool) -> None:
        self._run, self._conn, self._migrated = run, conn, migrated
        self._loader = Loader(run.database, run.source, run.settings.load.jobs)
        self._earlier = dict[str, tuple[LoadPlan, ...]]()

    def planned(self, files: EntityFiles) -> dict[str, Any]:
        """What a load would do with one entity of one date."""
        run, name = self._run, files.entity
        scene = Scene(self._migrated, self._earlier.get(name, ()))
        made = self._loader.plan(self._conn, files, run.entity(name), run.consent(name), scene)
        require_declared(self._conn, made, run.entity(name), run.skip)
        self._earlier[name] = (*scene.earlier, made)
        entry: dict[str, Any] = {} if self._migrated else {"first": "run `pgpipe migrate`"}
        entry |= described(made)
        entry["search"] = None if "search" in run.skip else _search(run, files)
        entry["embed"] = None if "embed" in run.skip else _embed(run, files)
        return entry


def print_heading(app: App, entry: dict[str, Any]) -> None:
    """Which files it is about."""
    name, day, files, size = (entry[part] for part in HEADING)
    app.out.print(f"[bold]{escape(name)}[/] of {day}: {files} files, {size:,} bytes")


def _print_plan(app: App, entry: dict[str, Any]) -> None:
    print_heading(app, entry)
    for label, text in in_words(entry).items():
        app.out.print(f"  {label}: {text}", markup=False)


def _search(context: Context, files: EntityFiles) -> list[dict[str, Any]]:
    planned = plan_search(context.entity(files.entity), context.choices(files))
    if planned.choices:
        return [{"column": c.column, "weight": c.weight, "reason": c.reason} for c in planned.choices]
    columns = planned.declaration.columns if planned.declaration else {}
    return [{"column": name, "weight": weight, "reason": "configured"} for name, weight in columns.items()]


def _embed(context: Context, files: EntityFiles) -> dict[str, Any]:
    planned = plan_embedding(context.entity(files.entity), context.choices(files))
    model = context.settings.embedding.model if planned else None
    return {"columns": list(planned.columns) if planned else [], "model": model}
