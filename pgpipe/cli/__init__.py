"""The command line: one module per group of commands. A command parses, calls, prints."""

import sys

import click

from pgpipe import errors
from pgpipe.cli.app import cli
from pgpipe.mask import trace
from pgpipe.secret import mask


def main() -> None:
    """Run a command; an error is one line on stderr and the exit code of its class."""
    try:
        code = cli.main(prog_name="pgpipe", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as exc:
        exc.show()
        code = exc.exit_code
    except click.ClickException as exc:
        click.echo(f"pgpipe: {mask(_one_line(exc))}", err=True)
        code = exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("pgpipe: interrupted; what was committed stays, the next run carries on", err=True)
        code = 130
    except errors.PgpipeError as exc:
        click.echo(f"pgpipe: {mask(str(exc))}", err=True)
        code = exc.exit_code
    except Exception as exc:  # noqa: BLE001 - its own text, and Python's traceback, could show a secret or a row
        click.echo(f"pgpipe: unexpected error; please report it\n{trace(exc)}", err=True)
        code = 1
    sys.exit(code)


def _one_line(exc: click.ClickException) -> str:
    message = " ".join(exc.format_message().split())
    context = exc.ctx if isinstance(exc, click.UsageError) else None
    return f"{message.rstrip('.')}; see `{context.command_path} --help`" if context else message
