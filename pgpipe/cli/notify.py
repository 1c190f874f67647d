"""pgpipe notify, and what the end of a load says."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

from pgpipe.cli.app import App, cli
from pgpipe.errors import PgpipeError, UsageError
from pgpipe.mask import said
from pgpipe.notify import Notice, notify
from pgpipe.pipeline.report import Report

TOLD_BY_ITSELF = ("pgpipe-load",)  # units whose program sends its notices if it can


@cli.command("notify")
@click.option("--test", is_flag=True, help="Send a notice that says it is a test.")
@click.option("--unit", metavar="NAME", help="Say that this unit of systemd failed; for OnFailure=.")
@click.pass_obj
def command(app: App, test: bool, unit: str | None) -> None:
    """Send a notice to the command and the address of [notify]: a test, or that a unit of systemd failed.

    `pgpipe load` and `pgpipe run` send theirs themselves. A unit's notice is for what they cannot say: that they were
    killed or hung, or that an embedder ended.
    """
    settings = app.settings.notify
    if test == bool(unit):
        raise UsageError("write either --test or --unit NAME")
    if settings.command is None and settings.url is None:
        if unit:
            return
        raise UsageError("nobody would be notified: set notify.command or notify.url")
    if test:
        notice = Notice("test", "pgpipe: a test of [notify]")
    else:
        result = os.environ.get("MONITOR_SERVICE_RESULT", "")
        if result == "exit-code" and str(unit).startswith(TOLD_BY_ITSELF):
            return  # it came to its end, and has said so
        status = os.environ.get("MONITOR_EXIT_STATUS", "")
        how = " ".join(filter(None, (result, status)))
        notice = Notice("failure", f"{unit} failed" + (f": {how}" if how else ""), 1, {"unit": unit})
    problems = notify(settings, notice)
    if problems:
        raise PgpipeError("; ".join(problems))
    if test:
        app.tell("the notice was delivered")


@contextmanager
def notified(app: App, name: str) -> Iterator[list[Report]]:
    """Send a notice of the reports that the command puts into the list, or of the error that ends it."""
    reports: list[Report] = []
    try:
        yield reports
    except PgpipeError as exc:
        _tell(app, notice_of(name, reports, str(exc), exc.exit_code))
        raise
    except Exception as exc:
        _tell(app, notice_of(name, reports, said(exc), 1))
        raise
    _tell(app, notice_of(name, reports))


def notice_of(name: str, reports: list[Report], error: str = "", exit_code: int = 0) -> Notice:
    """What is said of the dates that were loaded, and of the error that ended the command."""
    found = [report.as_json() for report in reports]
    failures = [f"{report.date}: {line}" for report in reports for line in report.failures]
    failed = [stage for report in reports for stage in report.stages if stage.state == "failed"]
    code = exit_code or (reports[0].exit_code if len(reports) == 1 else int(bool(failed)))
    body = {"command": name, "date": str(reports[-1].date) if reports else None, "error": error or None, "dates": found}
    lines = [*failures, *filter(None, [error])]
    if not lines:
        days = ", ".join(str(report.date) for report in reports)
        return Notice("success", f"pgpipe {name}: {days or 'nothing'} done", code, body)
    event = "gate" if not error and all(stage.gate for stage in failed) else "failure"
    return Notice(event, f"pgpipe {name} failed: {'; '.join(lines)}", code, body)  # type: ignore[arg-type]


def _tell(app: App, notice: Notice) -> None:
    for problem in notify(app.settings.notify, notice):
        click.echo(f"pgpipe: warning: {problem}", err=True)
