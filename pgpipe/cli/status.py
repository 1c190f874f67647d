"""pgpipe status."""

import click
from psycopg.rows import dict_row

from pgpipe.cli.app import App, cli, json_option
from pgpipe.db import translated

LOADS = """
    select entity, date, mode, state, started_at, read, inserted, updated, deleted, unchanged, error
      from pgpipe.load_status
"""
EMBEDDINGS = """
    select entity, name, model, dims, waiting, leased, dead, oldest_age
      from pgpipe.embedding_status order by entity, name
"""


@cli.command()
@json_option
@click.pass_obj
def status(app: App, as_json: bool) -> None:
    """Last load of each entity, and the queue of each embedding."""
    with app.database.connect() as conn, translated(), conn.cursor(row_factory=dict_row) as cursor:
        loads = cursor.execute(LOADS).fetchall()
        embeddings = cursor.execute(EMBEDDINGS).fetchall()
    if as_json:
        app.print_json({"loads": loads, "embeddings": embeddings})
        return
    for title, rows in (("Last loads", loads), ("Embeddings", embeddings)):
        app.out.print(f"[bold]{title}[/]" if rows else f"[bold]{title}[/]: none")
        if rows:
            app.print_rows(rows)
