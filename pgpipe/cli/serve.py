"""pgpipe serve."""

import socket
from collections.abc import Sequence

import click

from pgpipe.cli.app import App, cli
from pgpipe.db import Database
from pgpipe.errors import Unreachable
from pgpipe.extras import needed


@cli.command()
@click.option("--host", help="Loopback address to listen on [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="0 takes a free one [default: 8425]")
@click.option(
    "--hostname",
    "hostnames",
    multiple=True,
    metavar="NAME",
    help="A name by which a proxy before it calls this server; may be repeated.",
)
@click.pass_obj
def serve(app: App, host: str | None, port: int | None, hostnames: Sequence[str]) -> None:
    """Show search, loads and queues on a web page, until interrupted.

    It listens on loopback only, because it has no login, and only reads: every request is one read-only transaction.
    A role that may only read is enough; give its connection string as serve.url, or with --database.
    """
    with needed("serve", "the page"):
        import uvicorn

        from pgpipe.web.app import create_app
        from pgpipe.web.asking import Models
        from pgpipe.web.guard import LOOPBACK
        from pgpipe.web.queries import overview, reading
    app.set("serve", host=host, port=port, hostnames=list(hostnames) or None)
    wanted = app.settings.serve
    database = Database(app.settings.database.model_copy(update={"url": wanted.url})) if wanted.url else app.reading
    with reading(database) as conn:  # errors show here, not at the first request
        overview(conn, database.schema)
    sock = _listen(wanted.host, wanted.port)
    name = f"[{wanted.host}]" if ":" in wanted.host else wanted.host
    click.echo(f"http://{name}:{sock.getsockname()[1]}/  (Ctrl-C ends it)")
    page = create_app(database, Models(app.settings.embedding, known=app.settings), {*LOOPBACK, *wanted.hostnames})
    config = uvicorn.Config(page, log_level="warning", access_log=False, server_header=False)
    uvicorn.Server(config).run(sockets=[sock])


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as exc:
        raise Unreachable(f"port {port} of {host} cannot be listened on: {exc.strerror}") from exc
