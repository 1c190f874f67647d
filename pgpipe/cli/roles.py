"""pgpipe roles."""

import click

from pgpipe.cli.app import App, cli
from pgpipe.db import translated

CREATE = "select * from pgpipe.create_roles(%s)"
LACKING = """
    select format('%s is not kept fresh: %s', e.target, missing.what) from pgpipe.embedding e
     cross join lateral pgpipe_internal.lacking_grants(e, pgpipe_internal.worker_role()) missing (what)
     where missing.what is not null order by 1
"""
PATIENCE = "select set_config('lock_timeout', '5s', true)"


@cli.command()
@click.option("--dry-run", is_flag=True, help="Print what would be done and change hands, and take it back.")
@click.pass_obj
def roles(app: App, *, dry_run: bool) -> None:
    """Create the roles of pgpipe, and grant each what it needs.

    These are pgpipe_owner, pgpipe_loader, pgpipe_embedder, pgpipe_reader and pgpipe_api. It needs CREATEROLE and the
    ownership of what pgpipe made. If that is missing, it says what a superuser should run. Twice is a no-op. Those that
    log in have no password until you set one. Tables of other owners stay theirs; what an embedder needs on these is
    printed. --dry-run waits up to 5 seconds for each table that is locked.
    """
    with app.database.connect() as conn, translated():
        if dry_run:
            conn.execute(PATIENCE)
        done = conn.execute(CREATE, (app.database.schema,)).fetchall()
        lacking = conn.execute(LACKING).fetchall()
        if dry_run:
            conn.rollback()
    for (line,) in done:
        click.echo(line)
    if not done:
        click.echo("The roles are up to date.")
    elif dry_run:
        click.echo("Nothing was changed.")
    for (line,) in lacking:
        app.tell(line)
