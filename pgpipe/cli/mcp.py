"""pgpipe mcp."""

import click

from pgpipe.cli.app import App, cli
from pgpipe.extras import needed


@cli.command()
@click.pass_obj
def mcp(app: App) -> None:
    """Offer search to a language model's program by the Model Context Protocol, on standard input and output.

    The tools describe, search, similar and facets only read. A role that may only read is enough: give its connection
    string as serve.url, or with --database.
    """
    with needed("mcp", "this command"):
        from pgpipe.mcp_server import create_server
    settings = app.settings
    if settings.serve.url:
        read = settings.database.model_copy(update={"url": settings.serve.url, "read_url": None})
        settings = settings.model_copy(update={"database": read})
    create_server(settings).run("stdio")
