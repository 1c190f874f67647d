"""pgpipe synonyms."""

from typing import TextIO

import click

from pgpipe.cli.app import App, cli, json_option
from pgpipe.searching import synonyms as declared
from pgpipe.searching.ask import find_searchable
from pgpipe.target import find


@cli.group()
def synonyms() -> None:
    """Words that questions may use for others."""


@synonyms.command("import")
@click.argument("file", type=click.File(encoding="utf-8", errors="replace"))
@click.option("--entity", metavar="NAME", help="Whose they are; may be left out if there is only one.")
@click.option("--replace", is_flag=True, help="Remove the synonyms that the entity had.")
@click.pass_obj
def import_(app: App, file: TextIO, entity: str | None, *, replace: bool) -> None:
    """Read synonyms from FILE (- is standard input). They hold from the next question on.

    A line `coat, jacket, parka` means that each stands for the others. `tv, telly => television` holds one way. Terms
    may be of several words. This is the form of Solr and Elasticsearch.
    """
    read = list(declared.parse(file, file.name))
    with app.database.connect() as conn:
        target = find_searchable(conn, entity, app.home)
        count = declared.write(conn, target, read, replace=replace)
    app.tell(f"{target.label(app.home)}: {count} synonyms imported")


@synonyms.command("list")
@click.option("--entity", metavar="NAME", help="Only those of this one, as NAME or SCHEMA.NAME.")
@json_option
@click.pass_obj
def list_(app: App, entity: str | None, *, as_json: bool) -> None:
    """List synonyms, in the form that `import` reads."""
    with app.reading.connect() as conn:
        found = declared.listed(conn, find(conn, entity, app.home) if entity else None)
    if as_json:
        app.print_json(
            [
                {
                    "entity": each.label(app.home),
                    "term": each.term,
                    "alternatives": each.alternatives,
                    "both_ways": each.both_ways,
                }
                for each in found
            ]
        )
        return
    shown = ""
    for each in found:
        if (name := each.label(app.home)) != shown:
            click.echo(f"# {name}")
            shown = name
        click.echo(f"{each.term}{', ' if each.both_ways else ' => '}{', '.join(each.alternatives)}")
