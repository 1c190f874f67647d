"""A small HTTP server for a few pages: one thread however many connect, and no client is waited for without a limit."""

import asyncio
import contextlib
import http.client
import io
import ipaddress
import socket
import threading
from collections.abc import Callable, Collection, Mapping
from urllib.parse import urlsplit

from pgpipe.log import get_logger
from pgpipe.mask import trace

Answer = tuple[int, str, bytes]  # status, content type, body
PATIENCE = 5.0  # seconds that a client may take to ask, and to read the answer
CONNECTIONS = 128  # open at once; one more, and the oldest is closed
HEAD = 8192  # bytes of a request
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
TEXT = "text/plain; charset=utf-8"
log = get_logger(__name__)


class MetricsServer:
    """Pages by path. A page is made once for all who ask for it at the same time, in a thread of its own."""

    def __init__(self, host: str, port: int, pages: Mapping[str, Callable[[], Answer]], names: Collection[str]) -> None:
        """Listen.

        Args:
            host: address to listen on.
            port: to listen on; 0 takes a free one.
            pages: what makes each of them.
            names: by which it may be called, besides its addresses. A web page elsewhere, whose name was made to
                resolve to this address, would have its visitor's browser ask with a name that is not among them.

        Raises:
            OSError, OverflowError: the address is taken, or none of this machine.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=CONNECTIONS)
        self.port: int = self._socket.getsockname()[1]
        self._pages = pages
        self._names = {name.lower() for name in (*LOOPBACK, host, socket.gethostname(), *names)}
        self._open: dict[asyncio.StreamWriter, None] = {}  # the oldest first
        self._making: dict[str, asyncio.Future[Answer]] = {}
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Listen no more, and close what is open."""
        with contextlib.suppress(RuntimeError):  # it is closed already
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, sock=self._socket, limit=HEAD)
        await self._stopped.wait()
        server.close()
        for writer in list(self._open):
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = None
        if len(self._open) > CONNECTIONS:
            next(iter(self._open)).transport.abort()
        gone = (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)
        try:
            with contextlib.suppress(*gone):
                await self._talk(reader, writer)
        finally:  # whatever went wrong: a connection that stays counted would take the place of others for good
            self._open.pop(writer, None)
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
        status, kind, body = await self._answer(head)
        lines = f"HTTP/1.1 {status} {http.client.responses[status]}\r\nContent-Type: {kind}\r\n"
        writer.write(f"{lines}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        writer.close()
        async with asyncio.timeout(PATIENCE):
            await writer.wait_closed()

    async def _answer(self, head: bytes) -> Answer:
        line, _, rest = head.partition(b"\r\n")
        try:
            method, target, _ = line.decode("ascii").split(" ")
            path = urlsplit(target).path if target.startswith("/") else target
            hosts = http.client.parse_headers(io.BytesIO(rest)).get_all("Host") or []
        except (ValueError, http.client.HTTPException):
            return 400, TEXT, b"this is not an HTTP request\n"
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return 421, TEXT, b"this host is not served here; see embedding.metrics_hostnames\n"
        if path not in self._pages:
            return 404, TEXT, f"there are {', '.join(self._pages)}\n".encode()
        if method != "GET":
            return 405, TEXT, b"pages are asked for by GET\n"
        if path not in self._making:
            self._making[path] = self._loop.create_future()
            threading.Thread(target=self._make, args=(path,), name=f"metrics {path}", daemon=True).start()
        return await asyncio.shield(self._making[path])

    def _make(self, path: str) -> None:
        """Make a page; in a thread, because it may wait for the database."""
        try:
            answer = self._pages[path]()
        except Exception as exc:  # noqa: BLE001 - whatever it is, the client gets an answer
            log.critical("unexpected error", path=path, exception=trace(exc))
            answer = 500, TEXT, b"unexpected error; see the log\n"
        with contextlib.suppress(RuntimeError):  # the server was stopped meanwhile
            self._loop.call_soon_threadsafe(lambda: self._making.pop(path).set_result(answer))

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header is an address, which no name server can redirect, or one of our names."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(name)
            return True
        return name in self._names
