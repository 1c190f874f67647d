"""pgpipe doctor."""

from dataclasses import asdict

import click
from rich.markup import escape

from pgpipe.cli.app import App, cli, json_option
from pgpipe.doctor import Finding, examine, exit_code

COLOURS = {"ok": "green", "warning": "yellow", "failure": "bold red"}


@cli.command()
@click.option("--source", "url", help="s3://bucket/prefix or file:///path")
@click.option("--skip-model", is_flag=True, help="Do not load the model, which takes seconds.")
@json_option
@click.pass_context
def doctor(context: click.Context, url: str | None, skip_model: bool, as_json: bool) -> None:
    """Check source, database, model and machine; a line each, with what to do. Changes nothing.

    Ends with 0 if nothing fails (warnings may remain), 3 if source or database cannot be reached, else 1 or 2.
    """
    app: App = context.obj
    app.set("source", url=url)
    found: list[Finding] = []
    for finding in examine(app.settings, app.database, model=not skip_model):
        found.append(finding)
        if not as_json:
            _print(app, finding)
    if as_json:
        app.print_json([asdict(f) for f in found])
    context.exit(exit_code(found))


def _print(app: App, finding: Finding) -> None:
    state = f"[{COLOURS[finding.state]}]{finding.state:<8}[/]"
    todo = f" → {escape(finding.todo)}" if finding.todo else ""
    app.out.print(f"{state} {finding.check:<20} {escape(finding.message)}{todo}", soft_wrap=True)
