"""What every response carries, and which requests get none: headers, and the Host check against DNS rebinding."""

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pgpipe.log import get_logger
from pgpipe.mask import trace

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
HEADERS = {
    # Only scripts that are files of ours: a text that got past the escaping could still run nothing, and nothing is
    # fetched elsewhere. No query becomes a file, so no text of a row can be asked for as a script.
    "content-security-policy": "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self';"
    " img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
log = get_logger(__name__)


class Guard:
    """Around the application: refuse a Host that is not ours, put HEADERS on every response, log faults masked.

    A page elsewhere whose name is made to resolve to 127.0.0.1 reaches this server, but its Host gives it away.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], open_paths: Collection[str] = ()) -> None:
        self._app = app
        self._open_paths = open_paths
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse and answer with 421."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        is_ours = hostname(Headers(scope=scope).get("host", "")) in self._hosts
        if is_ours or scope["path"] in self._open_paths:
            try:
                await self._app(scope, receive, dressed)
            except Exception as exc:  # noqa: BLE001 - it has been answered; the server would log it with what it quotes
                log.critical("unexpected error", path=scope["path"], exception=trace(exc))
        else:
            refused = PlainTextResponse("This host is not served here; see `pgpipe serve --hostname`.\n", 421)
            await refused(scope, receive, dressed)


def hostname(host: str) -> str:
    """The name in a Host header, without its port; an IPv6 address keeps its brackets."""
    name, bracket, _ = host.lower().partition("]")
    return name + bracket if bracket else name.partition(":")[0]
