"""pgpipe similar."""

from dataclasses import asdict

import click

from pgpipe.api import similar as ask
from pgpipe.cli.app import App, cli, json_option
from pgpipe.cli.search import blamed_on_filter, parse_filter, parse_object, print_hit


@cli.command()
@click.argument("key")
@click.option(
    "--entity", metavar="NAME", help="Where to look, as NAME or SCHEMA.NAME; may be left out if there is only one."
)
@click.option("-k", default=10, show_default=True, type=click.IntRange(1, 1000), help="At most so many rows.")
@click.option("--filter", "where", metavar="JSON", help='Such as {"brand": "x", "price": {"lt": 20}}.')
@json_option
@click.pass_obj
def similar(app: App, /, key: str, entity: str | None, k: int, where: str | None, as_json: bool) -> None:
    """Find the rows that are most like the one with this KEY, such as '{"id": 7}'.

    They are the nearest by its vectors, or by the words that tell it from others if it has none.
    """
    wanted = parse_object("the key", key, '{"id": 7}') or {}
    with blamed_on_filter(where):
        hits = ask(wanted, entity, k, parse_filter(where), settings=app.settings, database=app.reading)
    if as_json:
        app.print_json([asdict(hit) for hit in hits])
        return
    for place, hit in enumerate(hits, 1):
        print_hit(app, place, hit)
    if not hits:
        app.err.print("Nothing is like it.")
