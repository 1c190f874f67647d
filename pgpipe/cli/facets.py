"""pgpipe facets."""

from dataclasses import asdict
from typing import Any

import click
from rich.markup import escape

from pgpipe.api import facets as ask
from pgpipe.cli.app import App, cli, json_option
from pgpipe.cli.search import FreeText, blamed_on_filter, parse_filter
from pgpipe.searching.facets import Facets, parse_facet


@cli.command(cls=FreeText)
@click.argument("query")
@click.argument("columns", nargs=-1)
@click.option(
    "--entity", metavar="NAME", help="Where to look, as NAME or SCHEMA.NAME; may be left out if there is only one."
)
@click.option(
    "--mode",
    type=click.Choice(["text", "vector", "hybrid"]),
    default="text",
    show_default=True,
    help="text counts all rows that match, the others the 100 best.",
)
@click.option("-k", default=10, show_default=True, type=click.IntRange(1, 1000), help="At most so many values of each.")
@click.option("--filter", "where", metavar="JSON", help='Such as {"brand": "x", "price": {"lt": 20}}.')
@click.option("--prefix", is_flag=True, help="The last word is the beginning of one.")
@click.option("--fuzzy/--no-fuzzy", default=True, help="Correct a word that no row holds.  [default: --fuzzy]")
@json_option
@click.pass_obj
def facets(app: App, /, query: str, columns: tuple[str, ...], where: str | None, as_json: bool, **how: Any) -> None:  # noqa: ANN401 - the options above
    """Count how many rows match a question, and how many hold each value of COLUMNS.

    A column is `brand`, or `data.colour` inside JSON; `price=10,50` counts the ranges below 10, from 10 and from 50 on.
    The question '' matches every row.
    """
    with blamed_on_filter(where):
        found = ask(
            query,
            [parse_facet(column) for column in columns],
            filter=parse_filter(where),
            settings=app.settings,
            database=app.reading,
            **how,
        )
    if as_json:
        app.print_json(asdict(found))
    else:
        _print(app, found)


def _print(app: App, found: Facets) -> None:
    if found.total:
        app.out.print(f"{'' if found.total.exact else 'more than '}{found.total.rows:,} rows match")
    for place, each in enumerate(found.values):
        if not place or found.values[place - 1].facet != each.facet:
            app.out.print(f"[bold]{escape(each.facet)}[/]")
        app.out.print(f"{'' if each.exact else 'about ':>6}{each.rows:>9,}  {escape(each.value)}")
