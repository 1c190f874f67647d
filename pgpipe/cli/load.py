"""pgpipe load, run and plan."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any

import click
from rich.markup import escape

from pgpipe.cli.app import App, cli, json_option
from pgpipe.db import Connection
from pgpipe.embed.declare import plan_embedding
from pgpipe.errors import PgpipeError
from pgpipe.load.loader import Loader
from pgpipe.load.plan.decide import Plan as LoadPlan
from pgpipe.pipeline.context import Context, require_schema, select_entities
from pgpipe.pipeline.report import Report
from pgpipe.pipeline.run import Pipeline, default_components
from pgpipe.searching.declare import plan_search
from pgpipe.source import open_source
from pgpipe.source.layout import EntityFiles, choose_dates

ROWS = ("read", "inserted", "updated", "deleted", "unchanged", "rejected", "left_out", "embedded")
ONLY_IF_ANY = {"rejected", "left_out"}
ACTIONS = {
    "nothing": "nothing: in the ledger",
    "recognise": "nothing: the same bytes as the snapshot before",
    "create": "create the table",
    "append": "append",
    "merge": "merge",
}


def _day(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if value == "latest":
        return value
    first, is_range, last = value.partition("..")
    try:
        days = [date.fromisoformat(day) for day in ((first, last) if is_range else (first,)) if day or not is_range]
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither `latest` nor a date as YYYY-MM-DD") from None
    if not days or days != sorted(days):
        raise click.BadParameter(
            f"{value!r} is not a range of dates: write the older one first, 2026-11-01..2026-11-22"
        )
    return value


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that reads the source."""
    for option in (
        json_option,
        click.option("--skip-embeddings", is_flag=True, help="Leave embeddings out: declare and compute none."),
        click.option("--skip-search", is_flag=True, help="Leave search columns out."),
        click.option(
            "--jobs",
            type=click.IntRange(1, 64),
            help="Connections to copy over [default: one a core, at most 8]",
        ),
        click.option("--key", help="Columns that identify a row, separated by commas."),
        click.option(
            "--mode",
            type=click.Choice(["append", "upsert", "snapshot"]),
            help="How files come into the target [default: upsert with a key, else append]",
        ),
        click.option(
            "--accept",
            multiple=True,
            type=click.Choice(["max_deleted", "older"]),
            help="Let pass once what is otherwise refused; may be repeated.",
        ),
        click.option("--entity", "entities", multiple=True, metavar="NAME", help="Only this one; may be repeated."),
        click.option(
            "--date",
            "day",
            default="latest",
            show_default=True,
            callback=_day,
            metavar="latest|YYYY-MM-DD|FIRST..LAST",
            help="Which date folder to load; of a range every complete one, oldest first.",
        ),
        click.option("--source", "url", help="s3://bucket/prefix or file:///path"),
    ):
        command = option(command)
    return command


def _override(mode: str | None, key: str | None) -> dict[str, Any]:
    """Mode and key as the options give them, for every entity."""
    given = {"mode": mode, "key": [name.strip() for name in key.split(",")] if key else None}
    return {name: value for name, value in given.items() if value is not None}


def _skipped(search: bool, embeddings: bool) -> frozenset[str]:
    """The components that the options leave out."""
    return frozenset(name for name, given in (("search", search), ("embed", embeddings)) if given)


@cli.command()
@source_options
@click.option("--dry-run", is_flag=True, help="Print the plan and touch nothing, like `pgpipe plan`.")
@click.pass_context
def load(context: click.Context, /, dry_run: bool, **options: Any) -> None:  # noqa: ANN401 - the options of source_options
    """Load the newest date into PostgreSQL; rows whose text changed wait for the embedder.

    Run it as often as you like: what is in the target already is left alone.
    """
    if dry_run:
        context.invoke(plan, **options)
    else:
        _run(context, drain=False, **options)


@cli.command()
@source_options
@click.pass_context
def run(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - the options of source_options
    """Load the newest date, compute the vectors that are missing, and report."""
    _run(context, drain=True, **options)


def _run(
    context: click.Context,
    *,
    drain: bool,
    url: str | None,
    day: str,
    entities: Sequence[str],
    mode: str | None,
    key: str | None,
    accept: Sequence[str],
    jobs: int | None,
    skip_search: bool,
    skip_embeddings: bool,
    as_json: bool,
) -> None:
    app: App = context.obj
    app.set("source", url=url)
    app.set("load", jobs=jobs)
    pipeline = Pipeline(
        app.settings,
        default_components(drain=drain),
        app.database,
        bar=app.bar,
        override=_override(mode, key),
        skip=_skipped(skip_search, skip_embeddings),
        accept=accept,
        tell=app.tell,
    )
    context.exit(
        _backfill(app, pipeline.backfill(day, entities), as_json=as_json)
        if ".." in day
        else _reported(app, pipeline.run(day, entities), as_json=as_json)
    )


def _reported(app: App, report: Report, *, as_json: bool) -> int:
    if as_json:
        app.print_json(report.as_json())
    else:
        print_report(app, report)
    for line in report.failures:
        click.echo(f"pgpipe: {line}", err=True)
    return report.exit_code


def _backfill(app: App, reports: Iterator[Report], *, as_json: bool) -> int:
    """Each date as it is done; as JSON all of them in one document at the end."""
    done = []
    for report in reports:
        done.append(report)
        if not as_json:
            app.out.print(f"[bold]{report.date}[/]")
            print_report(app, report)
        for line in report.failures:
            click.echo(f"pgpipe: {report.date}: {line}", err=True)
    code = int(any(report.exit_code for report in done))
    if as_json:
        app.print_json({"dates": [report.as_json() for report in done], "exit_code": code})
    return code


def print_report(app: App, report: Report) -> None:
    """The table at the end of a run, with its remarks below."""
    if all(s.state in {"nothing to do", "skipped"} or s.stage == "search" for s in report.stages):
        app.out.print(f"Nothing to do: everything of {report.date} is in place.")
    found = {name: [n for s in report.stages if (n := getattr(s, name)) is not None] for name in ROWS}
    shown = [name for name in ROWS if (any(found[name]) if name in ONLY_IF_ANY else found[name])]
    table = app.table("entity", "stage", *(f"{name}#" for name in shown), "seconds#", "state")
    for s in report.stages:
        numbers = [f"{n:,}" if (n := getattr(s, name)) is not None else "" for name in shown]
        colour = {"ok": "green", "failed": "red"}.get(s.state, "dim")
        table.add_row(escape(s.entity), s.stage, *numbers, f"{s.seconds:.1f}", f"[{colour}]{s.state}[/]")
    app.out.print(table)
    for s in report.stages:
        if s.note:
            app.out.print(f"{s.entity} {s.stage}: {s.note}", markup=False, soft_wrap=True)


@cli.command()
@source_options
@click.pass_context
def plan(
    context: click.Context,
    url: str | None,
    day: str,
    entities: Sequence[str],
    mode: str | None,
    key: str | None,
    accept: Sequence[str],
    jobs: int | None,
    skip_search: bool,
    skip_embeddings: bool,
    as_json: bool,
) -> None:
    """Print what `load` would do and why; touches nothing.

    Of the files it reads the footers. It reads a sample of one if it chooses columns for search from the data.
    """
    app: App = context.obj
    app.set("source", url=url)
    app.set("load", jobs=jobs)
    source = open_source(app.settings.source)
    skip = _skipped(skip_search, skip_embeddings).union(app.settings.load.skip)
    run = Context(app.settings, app.database, source, app.bar, _override(mode, key), skip)
    days = choose_dates(source, day, app.settings.source.complete)
    run.accept, run.named, run.until = frozenset(accept), frozenset(entities), days[-1] if ".." in day else None
    listed = [files for each in days for files in select_entities(run, each.isoformat(), entities)[1]]
    with app.database.connect(autocommit=True) as conn:  # a refused entity must not stop the others
        require_schema(conn, app.database.schema)
        plans = [_plan_entity(run, conn, files) for files in listed]
    if as_json:
        app.print_json(plans)
    else:
        for entry in plans:
            _print_plan(app, dict(entry))
    context.exit(int(any("refused" in entry for entry in plans)))


def _plan_entity(run: Context, conn: Connection, files: EntityFiles) -> dict[str, Any]:
    name, loader = files.entity, Loader(run.database, run.source, run.settings.load.jobs)
    entry: dict[str, Any] = {"entity": name, "date": files.date, "files": len(files.files), "bytes": files.bytes}
    try:
        entry |= _described(loader.plan(conn, files, run.entity(name), run.consent(name)))
        entry["search"] = "skipped" if "search" in run.skip else _search(run, files)
        entry["embed"] = "skipped" if "embed" in run.skip else _embed(run, files)
    except PgpipeError as exc:
        entry["refused"] = str(exc).removeprefix(f"{name}: ")
        click.echo(f"pgpipe: {name}: {entry['refused']}", err=True)
    return entry


def _print_plan(app: App, entry: dict[str, Any]) -> None:
    name, day, files, size = (entry.pop(part) for part in ("entity", "date", "files", "bytes"))
    app.out.print(f"[bold]{escape(name)}[/] of {day}: {files} files, {size:,} bytes")
    for label, value in entry.items():
        app.out.print(f"  {label}: {value}", markup=False)


def _described(made: LoadPlan) -> dict[str, Any]:
    described: dict[str, Any] = {
        "action": made.superseded or ACTIONS[made.action],
        "mode": made.mode,
        "key": ", ".join(made.key) or "none",
    }
    if made.parts:
        described["rows"] = made.rows
        described["row groups"] = sum(len(part.rows) for part in made.parts)
    if made.skipped and made.action not in {"nothing", "recognise"}:
        described["files in the ledger"] = len(made.skipped)
    if made.action == "create":
        described["columns"] = ", ".join(f"{c.name} {c.sql}" for c in made.columns)
    if made.evolution.add:
        described["new columns"] = ", ".join(f"{c.name} {c.sql}" for c in made.evolution.add)
    if made.evolution.widen:
        described["widened"] = ", ".join(f"{c.name} to {c.sql}" for c in made.evolution.widen)
    if made.converted:
        described["converted"] = ", ".join(made.converted)
    if made.absent:
        described["not in the files"] = ", ".join(made.absent)
    if policies := ", ".join(f"{c.name} {c.bad}" for c in made.columns if c.bad != "error"):
        described["bad values"] = policies
    if made.remarks:
        described["notes"] = "; ".join(made.remarks)
    return described


def _search(context: Context, files: EntityFiles) -> str:
    planned = plan_search(context.entity(files.entity), context.choices(files))
    if planned.choices:
        return "; ".join(f"{c.column} {c.weight or 'left out'} ({c.reason})" for c in planned.choices)
    if planned.declaration:
        return ", ".join(f"{name} {weight}" for name, weight in planned.declaration.columns.items()) + " (configured)"
    return "none"


def _embed(context: Context, files: EntityFiles) -> str:
    planned = plan_embedding(context.entity(files.entity), context.choices(files))
    return f"{', '.join(planned.columns)} by {context.settings.embedding.model}" if planned else "none"
