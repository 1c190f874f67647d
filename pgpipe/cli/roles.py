"""pgpipe roles."""

import click

from pgpipe.cli.app import App, cli
from pgpipe.db import translated

CREATE = "select * from pgpipe.create_roles(%s)"


@cli.command()
@click.pass_obj
def roles(app: App) -> None:
    """Create the roles pgpipe_owner, pgpipe_loader, pgpipe_embedder and pgpipe_reader, and grant each what it needs.

    Needs CREATEROLE and the ownership of what pgpipe made. If that is missing, it says what a superuser should run.
    Twice is a no-op. The three that log in have no password until you set one.
    """
    with app.database.connect() as conn, translated():
        done = conn.execute(CREATE, (app.database.schema,)).fetchall()
    for (line,) in done:
        click.echo(line)
    if not done:
        click.echo("The roles are up to date.")
