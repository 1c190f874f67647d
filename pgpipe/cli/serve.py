"""pgpipe serve."""

import socket

import click

from pgpipe.cli.app import App, cli
from pgpipe.errors import Unreachable, UsageError

LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of this machine's own to listen on.")
@click.option("--port", default=8425, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--hostname",
    "hostnames",
    multiple=True,
    metavar="NAME",
    help="A name by which a proxy before it calls this server; may be repeated.",
)
@click.pass_obj
def serve(app: App, host: str, port: int, hostnames: tuple[str, ...]) -> None:
    """Show search, loads and queues on a web page, until interrupted.

    It listens on loopback only, because it has no login, and only reads: every request is one read-only transaction.
    A role that may only read is enough; give its connection string with --database.
    """
    if host not in LOOPBACK:
        raise UsageError(
            f"--host {host} is not loopback, and the page has no login; let a proxy with one speak to it over loopback,"
            " and name the proxy with --hostname"
        )
    try:
        import uvicorn

        from pgpipe.web import app as web
        from pgpipe.web.asking import Models
        from pgpipe.web.guard import LOOPBACK as OURS
        from pgpipe.web.queries import overview, reading
    except ImportError as exc:
        raise UsageError(f"the page needs its extra: pip install 'pgpipe[web]' ({exc})") from None
    with reading(app.database) as conn:  # what is wrong is said here, not at the first request
        overview(conn)
    page = web.create_app(app.database, Models(app.settings.embedding), {*OURS, *hostnames})
    try:
        sock = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as exc:
        raise Unreachable(f"port {port} of {host} cannot be listened on: {exc.strerror}") from exc
    name = f"[{host}]" if ":" in host else host
    click.echo(f"http://{name}:{sock.getsockname()[1]}/  (Ctrl-C ends it)")
    config = uvicorn.Config(page, log_level="warning", access_log=False, server_header=False)
    uvicorn.Server(config).run(sockets=[sock])
