"""pgpipe diff."""

from dataclasses import asdict
from functools import partial
from typing import Any

import click

from pgpipe.cli.app import App, cli
from pgpipe.cli.options import source_options
from pgpipe.cli.plan import Planning, of_each_source, plan_links, planned_entry, print_heading
from pgpipe.cli.plan_text import described, in_words
from pgpipe.db import Connection
from pgpipe.load.loader import Loader
from pgpipe.load.preview import Preview, Sample, preview
from pgpipe.pipeline.context import Context
from pgpipe.pipeline.declared import require_declared
from pgpipe.source.layout import EntityFiles

COUNTS = ("inserted", "updated", "deleted", "unchanged", "rejected")
SIGNS = {"insert": "+", "update": "~", "delete": "-"}


@cli.command()
@source_options
@click.option(
    "--rows",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Print N rows of each kind of change, with old and new values.",
)
@click.pass_context
def diff(context: click.Context, /, rows: int, **options: Any) -> None:  # noqa: ANN401 - the options of source_options
    """Print what `load` would change, row by row; leaves nothing behind.

    All files are read and compared with the tables in a transaction that is rolled back. It says which gates would
    refuse the load, and then exits with 1, as the load would.
    """
    app: App = context.obj
    found, code = of_each_source(app, options, partial(_diff_source, rows=rows))
    if options["as_json"]:
        app.print_json(found)
    else:
        for entry in found:
            _print(app, entry)
    failed = [(entry["entity"], gate["message"]) for entry in found for gate in _refusals(entry)]
    for name, message in failed:
        click.echo(f"pgpipe: {name}: {message}", err=True)
    context.exit(max(code, int(bool(failed) or any("refused" in entry for entry in found))))


def _diff_source(planning: Planning, rows: int) -> list[dict[str, Any]]:
    with planning.connected() as conn:
        compared = partial(_compared, planning.run, conn, rows=rows)
        entries = [(files, planned_entry(files, partial(compared, files))) for files in planning.listed]
        plan_links(planning, conn, entries)
    return [entry for _, entry in entries]


def _compared(run: Context, conn: Connection, files: EntityFiles, rows: int) -> dict[str, Any]:
    name = files.entity
    made = Loader(run.database, run.source, 1).plan(conn, files, run.entity(name), run.consent(name))
    require_declared(conn, made, run.entity(name), run.skip)
    with run.bar(f"{name}: diff", made.rows) as advance:
        done = preview(run.database, run.source, made, lambda _plan: advance, rows)
    shown = described(made)
    parts = ("action", "reason", "mode", "key", "new_columns", "widened")
    kept = {name: shown[name] for name in parts if name in shown}
    return kept | _counted(done) | ({"samples": [asdict(sample) for sample in done.samples]} if rows else {})


def _refusals(entry: dict[str, Any]) -> list[dict[str, str]]:
    return [gate for gate in entry.get("gates", ()) if gate["level"] == "error"]


def _counted(done: Preview) -> dict[str, Any]:
    return {name: getattr(done, name) for name in COUNTS} | {"gates": [asdict(gate) for gate in done.gates]}


def _print(app: App, entry: dict[str, Any]) -> None:
    print_heading(app, entry)
    shown = in_words(entry)
    for label in ("refused", "action", "key", "new columns", "widened"):
        if label in shown:
            app.out.print(f"  {label}: {shown[label]}", markup=False, soft_wrap=True)
    if "inserted" in entry:
        counted = ", ".join(f"{entry[name]:,} {name}" for name in COUNTS if entry[name] or name != "rejected")
        app.out.print(f"  rows: {counted}", markup=False)
    for gate in entry.get("gates", ()):
        label = "refused" if gate["level"] == "error" else "warning"
        app.out.print(f"  {label}: {gate['message']}", markup=False, soft_wrap=True)
    for sample in entry.get("samples", ()):
        app.out.print(f"  {_line(Sample(**sample))}", markup=False, soft_wrap=True)


def _line(sample: Sample) -> str:
    key = ", ".join(f"{name} {value}" for name, value in sample.key.items())
    names = dict.fromkeys([*sample.old, *sample.new])
    if sample.change == "update":
        values = [f"{name} {_text(sample.old.get(name))} → {_text(sample.new.get(name))}" for name in names]
    else:
        values = [f"{name} {_text((sample.new or sample.old)[name])}" for name in names]
    return f"{SIGNS[sample.change]} {key}: {', '.join(values)}" if values else f"{SIGNS[sample.change]} {key}"


def _text(value: str | None) -> str:
    return "NULL" if value is None else repr(value)
