"""The server of the API: where it listens, TLS, and no patience for connections that ask nothing."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from pgpipe.embed.daemon.metrics_server import Answer, MetricsServer
from pgpipe.errors import Unreachable, UsageError
from pgpipe.settings.serve import ServeSettings
from pgpipe.web.api.shield import Meters

SILENT = 10.0  # seconds after which a connection without a whole request is closed, at the latest after twice as many
CONNECTIONS = 1000  # open at once; a further one is closed


class Impatient(H11Protocol):  # whatever else is installed: it bounds the size of headers
    """Closes a connection that does not get a request done, or does not read: uvicorn waits for both for ever."""

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - uvicorn's
        """Take it, unless there are too many."""
        super().connection_made(transport)
        self._seen: object = None
        self._tick: asyncio.TimerHandle | None = None
        if len(self.connections) > CONNECTIONS:
            transport.abort()
        else:
            self._tick = self.loop.call_later(SILENT, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        if self._tick is not None:
            self._tick.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        cycle = self.cycle
        unread = self.flow.write_paused or self.transport.is_closing()  # the client does not take what is sent
        idle = cycle is None or cycle.response_complete
        seen = self.flow if unread else cycle if idle else self
        if seen is self._seen and seen is not self:  # nothing since the last look
            self.transport.abort()
            return
        self._seen = seen
        self._tick = self.loop.call_later(SILENT, self._look)


class Server(uvicorn.Server):
    """Gives a TLS handshake no more time than a request has: asyncio waits for a minute."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        if self.config.is_ssl:
            loop.create_server = partial(loop.create_server, ssl_handshake_timeout=SILENT)  # type: ignore[method-assign]
        await super().startup(sockets)


def make_server(app: ASGIApp, serve: ServeSettings) -> uvicorn.Server:
    """The server, which does not listen yet.

    Raises:
        UsageError: certificate or key cannot be read, or do not fit.
    """
    config = uvicorn.Config(
        app,
        http=Impatient,
        ws="none",
        log_level="error",  # it warns of requests that are none, and anybody could fill the log
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=16_384,
        ssl_certfile=serve.tls_cert,
        ssl_keyfile=serve.tls_key,
        timeout_graceful_shutdown=int(serve.timeout) + 1,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as exc:
        reason = getattr(exc, "strerror", None) or "they do not fit, or are not PEM"
        raise UsageError(f"serve.tls_cert and serve.tls_key cannot be used: {reason}") from exc
    return Server(config)


@contextmanager
def metered(meters: Meters, port: int | None) -> Iterator[int | None]:
    """Serve /metrics on loopback while the block runs; gives its port, None if none is wanted.

    Raises:
        Unreachable: the port is taken.
    """
    if port is None:
        yield None
        return

    def page() -> Answer:
        return 200, CONTENT_TYPE_LATEST, generate_latest(meters.registry)

    try:
        server = MetricsServer("127.0.0.1", port, {"/metrics": page}, ())
    except OSError as exc:
        raise Unreachable(f"port {port} of 127.0.0.1 cannot be listened on: {exc.strerror}") from exc
    try:
        yield server.port
    finally:
        server.stop()
