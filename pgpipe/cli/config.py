"""pgpipe config and init."""

from dataclasses import asdict
from pathlib import Path

import click

from pgpipe.cli.app import App, cli, json_option
from pgpipe.errors import UsageError
from pgpipe.settings import describe
from pgpipe.settings.check import faults
from pgpipe.settings.sources import read_layers


@cli.group()
def config() -> None:
    """What is configured, and where."""


@config.command("show")
@json_option
@click.pass_obj
def show_config(app: App, as_json: bool) -> None:
    """Print every setting as it holds, and where it was set. Secrets are masked."""
    settings = describe.effective(read_layers(app.file, app.options))
    if as_json:
        app.print_json([asdict(s) for s in settings])
    else:
        app.print_rows([{"setting": s.name, "value": s.value, "from": s.origin} for s in settings])


@config.command("check")
@json_option
@click.pass_context
def check_config(context: click.Context, as_json: bool) -> None:
    """Name every unknown setting, with the nearest known one, and every wrong value. Ends with 2 if it finds any."""
    app: App = context.obj
    layers = read_layers(app.file, app.options)
    found = faults(layers)
    if as_json:
        app.print_json(found)
    elif found:
        for line in found:
            click.echo(line)
    else:
        read = [origin for origin, layer in layers if layer]
        click.echo(f"Nothing is wrong in {' and '.join(read)}." if read else "Nothing is set; the defaults hold.")
    context.exit(UsageError.exit_code if found else 0)


@config.command("schema")
@click.pass_obj
def print_schema(app: App) -> None:
    """Print the JSON schema of the configuration file, for editors that complete and check by it."""
    app.print_json(describe.json_schema())


@cli.command()
@click.option("--source", "url", help="s3://bucket/prefix or file:///path, written into the file.")
@click.option("--force", is_flag=True, help="Overwrite the file that is there.")
@click.argument("file", default="pgpipe.toml", type=click.Path(path_type=Path, dir_okay=False))
def init(file: Path, url: str | None, force: bool) -> None:
    """Write a pgpipe.toml that explains every setting and sets none but the source."""
    text = describe.commented_file({"source.url": url} if url else {})
    try:
        with file.open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UsageError(f"{file} is there already; --force overwrites it") from None
    except OSError as exc:
        raise UsageError(f"{file} cannot be written: {exc.strerror}") from exc
    click.echo(f"Wrote {file}.")
