"""pgpipe scaffold."""

from pathlib import Path

import click

from pgpipe.cli.app import App, cli
from pgpipe.errors import UsageError
from pgpipe.pipeline.context import Context, select_entities
from pgpipe.pipeline.sources import share_out
from pgpipe.scaffold import next_file, scaffold
from pgpipe.source import open_source


@cli.command("scaffold")
@click.argument("entity")
@click.option("--source", "url", help="s3://bucket/prefix or file:///path")
@click.option(
    "--date",
    "day",
    default="latest",
    show_default=True,
    metavar="latest|YYYY-MM-DD",
    help="Which date folder to read.",
)
@click.option("--key", help="Columns that identify a row, separated by commas.")
@click.option(
    "--mode", type=click.Choice(["append", "upsert", "snapshot"]), help="[default: upsert with a key, else append]"
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="migrations",
    show_default=True,
    help="Where the migration goes; `-` prints it instead.",
)
@click.pass_obj
def scaffold_entity(
    app: App, entity: str, url: str | None, day: str, key: str | None, mode: str | None, folder: Path
) -> None:
    """Write a migration for an entity's table, for review: columns and types as the files have them.

    Then `pgpipe migrate` and `pgpipe load` as ever. Without it, `pgpipe load` makes the same table itself.
    """
    app.set("source", url=url)
    override = {"key": [name.strip() for name in key.split(",")] if key else None, "mode": mode}
    override = {name: value for name, value in override.items() if value is not None}
    settings = app.settings.by_source()["source"] if url else app.settings
    share = next(each for each in share_out(settings, [entity]) if entity in each.entities)
    if share.error:
        raise share.error
    context = Context(share.settings, app.database, open_source(share.settings.source), override=override)
    (files,) = select_entities(context, day, [entity])
    text = scaffold(context, files)
    if str(folder) == "-":
        click.echo(text, nl=False)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = next_file(folder, entity)
        file.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"{folder} cannot be written: {exc.strerror}") from exc
    click.echo(f"Wrote {file}. Review it, then: pgpipe migrate")
