"""pgpipe load and run."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import click

from pgpipe.cli.app import App, cli
from pgpipe.cli.notify import notified
from pgpipe.cli.options import override, skipped, source_options, wait_option
from pgpipe.errors import SourceError
from pgpipe.pipeline.report import Report, together
from pgpipe.pipeline.run import Pipeline, default_components
from pgpipe.pipeline.sources import run_sources
from pgpipe.settings.model import Settings

ROWS = (
    "read",
    "inserted",
    "updated",
    "deleted",
    "unchanged",
    "rejected",
    "left_out",
    "superseded",
    "deletes",
    "embedded",
)
ONLY_IF_ANY = {"rejected", "left_out", "superseded", "deletes"}


@cli.command()
@source_options
@wait_option
@click.option("--dry-run", is_flag=True, help="Print what would change and leave nothing behind, like `pgpipe diff`.")
@click.pass_context
def load(context: click.Context, /, dry_run: bool, limit: timedelta | None, **options: Any) -> None:  # noqa: ANN401 - the options of source_options
    """Load what is new into PostgreSQL; rows whose text changed wait for the embedder.

    Run it as often as you like: what is in the target already is left alone.
    """
    if dry_run:
        from pgpipe.cli.diff import diff

        context.invoke(diff, **options)
    else:
        _run(context, limit, drain=False, **options)


@cli.command()
@source_options
@wait_option
@click.pass_context
def run(context: click.Context, /, limit: timedelta | None, **options: Any) -> None:  # noqa: ANN401 - the options of source_options
    """Load what is new, compute the vectors that are missing, and report."""
    _run(context, limit, drain=True, **options)


def _run(
    context: click.Context,
    limit: timedelta | None,
    *,
    drain: bool,
    url: str | None,
    day: str,
    since: date | None,
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
    made: dict[str, Any] = {"bar": app.bar, "override": override(mode, key), "accept": accept, "tell": app.tell}
    made["skip"] = skipped(skip_search, skip_embeddings)
    settings = app.settings.by_source()["source"] if url else app.settings
    missing: list[str] = []  # what was waited for in vain

    def make(of_source: Settings) -> Pipeline:
        return Pipeline(of_source, default_components(drain=drain), app.database, **made)

    def wait(pipeline: Pipeline, names: Sequence[str]) -> None:
        if limit and (why := pipeline.wait(limit, day, names)):
            missing.append(why)

    with notified(app, context.command.name or "load") as done:
        reports = run_sources(settings, make, wait, day, entities, since)
        code = _reported(app, reports, done, as_json=as_json)
        if missing and not code:
            raise SourceError(missing[0])
    for why in missing:
        click.echo(f"pgpipe: {why}", err=True)
    context.exit(code)


def _reported(app: App, reports: Iterator[Report], done: list[Report], *, as_json: bool) -> int:
    """Each date as it is done; as JSON all of them in one document at the end."""
    for report in reports:
        done.append(report)
        of_date = f"{report.date}: " if report.of > 1 else ""
        if not as_json:
            if of_date:
                app.out.print(f"[bold]{report.date}[/]")
            print_report(app, report)
        for line in report.failures:
            click.echo(f"pgpipe: {of_date}{line}", err=True)
    whole = together(done)
    if as_json:
        app.print_json(whole.as_json())
    elif not done:
        app.out.print("Nothing to do: no date is due.")
    return whole.exit_code


def print_report(app: App, report: Report) -> None:
    """The table at the end of a run, with its remarks below."""
    from rich.markup import escape

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
        for line in s.warnings:
            app.out.print(f"{s.entity} {s.stage}: warning: {line}", markup=False, soft_wrap=True)
