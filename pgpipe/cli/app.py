"""The root command: global options, settings, logging, and how tables and progress look."""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pgpipe import distribution, log
from pgpipe.plain import plain

if TYPE_CHECKING:  # a command imports what it uses: `--help` neither a driver nor what draws tables
    from rich.console import Console
    from rich.table import Table

    from pgpipe.db import Database
    from pgpipe.settings.layers import Layer
    from pgpipe.settings.model import Settings

# Where each command is: its module is imported when it is asked for, so that none waits for what another needs.
MODULES = {
    "completion": "completion",
    "config": "config",
    "demo": "demo",
    "diff": "diff",
    "doctor": "doctor",
    "embedder": "embedder",
    "embedding": "embedding",
    "evaluate": "evaluate",
    "facets": "facets",
    "fill-search": "search",
    "init": "config",
    "jobs": "admin",
    "load": "load",
    "mcp": "mcp",
    "migrate": "admin",
    "notify": "notify",
    "plan": "plan",
    "reconcile": "embedding",
    "roles": "roles",
    "run": "load",
    "scaffold": "scaffold",
    "search": "search",
    "serve": "serve",
    "similar": "similar",
    "status": "status",
    "synonyms": "synonyms",
    "systemd": "systemd",
    "tokens": "tokens",
}


class Commands(click.Group):
    """The commands of MODULES."""

    def list_commands(self, _context: click.Context, /) -> list[str]:
        """All names, importing nothing."""
        return list(MODULES)

    def get_command(self, context: click.Context, name: str, /) -> click.Command | None:
        """The one of that name, or None."""
        if name in MODULES:
            import_module(f"pgpipe.cli.{MODULES[name]}")
        return super().get_command(context, name)


@dataclass
class App:
    """What a command gets: settings with the options on top, and the two consoles."""

    file: Path | None = None
    options: "Layer" = field(default_factory=dict)
    quiet: bool = False

    # Names and texts are the user's: nothing in them is an emoji's code.
    @cached_property
    def out(self) -> "Console":
        """Where results go."""
        from rich.console import Console

        return Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else 160)

    @cached_property
    def err(self) -> "Console":
        """Where progress goes."""
        from rich.console import Console

        return Console(stderr=True, highlight=False, emoji=False)

    @cached_property
    def settings(self) -> "Settings":
        """The settings, read once."""
        from pgpipe.settings.sources import load_settings

        return load_settings(self.file, self.options)

    @cached_property
    def database(self) -> "Database":
        """The database of the settings."""
        from pgpipe.db import Database

        return Database(self.settings.database)

    @cached_property
    def reading(self) -> "Database":
        """The database that questions go to; a standby may be one."""
        from pgpipe.db import Database

        return Database(self.settings.database.for_reading())

    @property
    def home(self) -> str:
        """The schema of names that state none."""
        return self.settings.database.db_schema

    def set(self, section: str, **values: Any) -> None:  # noqa: ANN401 - settings are of any type
        """Lay options over the settings; those not given (None) are left out."""
        given = {name: value for name, value in values.items() if value is not None}
        if given:
            self.options.setdefault(section, {}).update(given)

    def tell(self, line: str) -> None:
        """Print a line on stderr, unless -q is given."""
        if not self.quiet:
            click.echo(f"pgpipe: {line}", err=True)

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """A progress bar on stderr with rows, rate and time left; nothing if stderr is not a terminal."""
        if self.quiet or not sys.stderr.isatty():
            yield lambda _rows: None
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.err) as progress:
            task = progress.add_task(label, total=total, rate="")

            def advance(rows: int) -> None:
                progress.advance(task, rows)
                speed = progress.tasks[0].finished_speed or progress.tasks[0].speed
                progress.update(task, rate=f"{speed:,.0f} rows/s" if speed else "")

            yield advance

    def print_json(self, value: Any) -> None:  # noqa: ANN401 - whatever a command shows
        """One JSON document on stdout: times as ISO 8601, durations in seconds (docs/json.md)."""
        click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=plain))

    def table(self, *columns: str) -> "Table":
        """An empty table; a column whose name ends in # is numeric."""
        from rich.table import Table

        table = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=True)
        for name in columns:
            table.add_column(name.rstrip("#"), justify="right" if name.endswith("#") else "left", overflow="fold")
        return table

    def print_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows of a query as a table, one column a name; there is at least one row."""
        from rich.markup import escape

        table = self.table(*rows[0])
        for row in rows:
            cells = ("" if v is None else f"{v:,}" if isinstance(v, int) else escape(str(v)) for v in row.values())
            table.add_row(*cells)
        self.out.print(table)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="TOML or JSON file [default: pgpipe.toml, if there is one]",
)
@click.option("--database", "url", help="postgresql://… [default: DATABASE_URL, else the embedded server]")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, only warnings.")
@click.option(
    "--log-file",
    type=click.Path(path_type=Path),
    help="Log to this file instead of stderr [default of `run`: pipeline_YYYYMMDD.log]",
)
@click.option(
    "--log-format",
    type=click.Choice(["human", "keyvalue", "json"]),
    help="[default: human in a terminal, else keyvalue]",
)
@click.version_option(distribution.VERSION, message=f"%(prog)s, version %(version)s ({distribution.NAME})")
@click.pass_context
def cli(
    context: click.Context,
    file: Path | None,
    url: str | None,
    verbose: bool,
    quiet: bool,
    log_file: Path | None,
    log_format: log.Format | None,
) -> None:
    """Parquet drops in S3 to PostgreSQL: loaded once, searchable by keyword and by meaning.

    \b
    First steps:
      pgpipe migrate                                   prepare the database
      pgpipe run --source s3://bucket/prefix           load what is new and embed it
      pgpipe search "how do I …" --entity product      ask
    """  # noqa: D301 - \b is click's mark for text that keeps its line breaks
    app = App(file=file, quiet=quiet)
    if url:  # for all that the command does, whatever else is configured
        app.options |= {"database": {"url": url, "read_url": None}, "serve": {"url": None}}
    context.obj = app
    context.call_on_close(_start_log(context.invoked_subcommand, log_file, log_format, verbose=verbose, quiet=quiet))


def _start_log(
    command: str | None, file: Path | None, form: log.Format | None, *, verbose: bool, quiet: bool
) -> Callable[[], None]:
    """A file, and a daemon's journal, get the whole story; a command prints its failures itself, in one line."""
    if file is None and command == "run" and os.access(Path.cwd(), os.W_OK):
        file = Path(f"pipeline_{datetime.now().astimezone():%Y%m%d}.log")
    story = bool(file) or command in {"embedder", "serve"}
    level = logging.DEBUG if verbose else logging.CRITICAL if not story else logging.WARNING if quiet else logging.INFO
    return log.configure(level, file, form)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
