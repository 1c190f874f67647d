"""pgpipe serve."""

import socket
from collections.abc import Callable, Sequence
from typing import Any

import click

from pgpipe.cli.app import App, cli
from pgpipe.db import Database
from pgpipe.errors import Unreachable, UsageError
from pgpipe.extras import needed

OPTIONS = (
    click.option("--api", is_flag=True, default=None, help="Serve the search API, to who has a token, and no page."),
    click.option("--host", help="Address to listen on: loopback, or any with --api [default: 127.0.0.1]"),
    click.option("--port", type=click.IntRange(0, 65535), help="0 takes a free one [default: 8425]"),
    click.option(
        "--hostname",
        "hostnames",
        multiple=True,
        metavar="NAME",
        help="A name by which a proxy before it, or a client, calls this server; may be repeated.",
    ),
    click.option("--tls-cert", type=click.Path(), help="Certificate with its chain, as PEM, for the API."),
    click.option("--tls-key", type=click.Path(), help="Key of the certificate."),
    click.option("--origin", "origins", multiple=True, help="A web page whose scripts may use the API; repeatable."),
    click.option("--metrics-port", type=click.IntRange(0, 65535), help="Serve metrics of the API on this port."),
)


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@cli.command()
@_options
@click.pass_obj
def serve(app: App, /, hostnames: Sequence[str], origins: Sequence[str], **given: Any) -> None:  # noqa: ANN401 - of any type
    """Show search, loads and queues on a web page, or serve the search API, until interrupted.

    The page listens on loopback only, because it has no login, and only reads: every request is one read-only
    transaction. A role that may only read is enough; give its connection string as serve.url, or with --database.

    With --api, applications ask with a token of `pgpipe tokens create`. docs/applications.md describes it.
    """
    with needed("serve", "the page"):
        import fastapi  # noqa: F401 - said before anything is opened
        import uvicorn  # noqa: F401
    app.set("serve", **given, hostnames=list(hostnames) or None, origins=list(origins) or None)
    if app.settings.serve.api:
        _serve_api(app)
    else:
        _serve_page(app)


def _serve_page(app: App) -> None:
    import uvicorn

    from pgpipe.web.app import create_app
    from pgpipe.web.asking import Models
    from pgpipe.web.guard import LOOPBACK
    from pgpipe.web.queries import overview, reading

    wanted = app.settings.serve
    database = Database(app.settings.database.model_copy(update={"url": wanted.url})) if wanted.url else app.reading
    with reading(database) as conn:  # errors show here, not at the first request
        overview(conn, database.schema)
    sock = _listen(wanted.host, wanted.port)
    click.echo(f"http://{wanted.addressed}:{sock.getsockname()[1]}/  (Ctrl-C ends it)")
    page = create_app(database, Models(app.settings.embedding), {*LOOPBACK, *wanted.hostnames})
    config = uvicorn.Config(page, log_level="warning", access_log=False, server_header=False)
    uvicorn.Server(config).run(sockets=[sock])


def _serve_api(app: App) -> None:
    from pgpipe.web.api.app import create_api, keeping, serving
    from pgpipe.web.api.check import require_ready
    from pgpipe.web.api.server import make_server, metered
    from pgpipe.web.api.shield import Meters
    from pgpipe.web.asking import Models

    settings, wanted = app.settings, app.settings.serve
    if wanted.nameless:
        raise UsageError(f"{wanted.host} is every address of this machine: name what clients call it by --hostname")
    if not require_ready(keeping(settings), serving(settings)):
        app.tell("no token holds yet; `pgpipe tokens create NAME` makes one")
    if wanted.open and not wanted.tls_cert:
        app.tell("tokens and questions travel in the clear: give --tls-cert and --tls-key, or put a proxy before it")
    meters = Meters()
    server = make_server(create_api(settings, Models(settings.embedding), meters), wanted)
    sock = _listen(wanted.host, wanted.port)
    with metered(meters, wanted.metrics_port) as port:
        scheme = "https" if wanted.tls_cert else "http"
        click.echo(f"{scheme}://{wanted.addressed}:{sock.getsockname()[1]}/v1/search  (Ctrl-C ends it)")
        if port is not None:
            click.echo(f"http://127.0.0.1:{port}/metrics")
        server.run(sockets=[sock])


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as exc:
        raise Unreachable(f"port {port} of {host} cannot be listened on: {exc.strerror}") from exc
