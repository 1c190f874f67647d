"""A faulty network in front of an S3 server: a proxy that cuts answers short, refuses, stalls, or calls the test."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from email.utils import format_datetime
from html import escape
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from datetime import datetime

BLOCK = 16 << 10


Judge = Callable[[Message, str], tuple[int, str, str] | None]  # headers and path of a request


class Faults:
    """What the proxy does to answers with a part of an object; set by the test."""

    def __init__(self) -> None:
        self.keep = 1.0  # share of the body that is sent before the connection is closed
        self.times = 0  # how many answers are cut; -1 for all
        self.cut = 0  # how many were
        self.refuse: list[int] = []  # the status codes of the next answers, instead of the object
        self.slow = 0.0  # seconds between two blocks of a body
        self.stall = 0.0  # seconds for which the next body stops in its middle
        self.after: Callable[[], object] | None = None  # called once the first part of an object was sent
        self.etag: str | None = None  # of all objects, whatever their bytes
        self.modified: datetime | None = None  # of all objects
        self.judge: Judge | None = None  # refuses requests with a status code, S3's code and a message
        self.bucket = ""  # behind the access point, for requests that come as to a proxy
        self._lock = Lock()

    def stated(self, name: str, value: str) -> str:
        """What the server says of an object: a header's value, or one of a listing."""
        name = name.lower()
        if self.etag is not None and name == "etag":
            return f'"{self.etag}"'
        if self.modified and name == "last-modified":
            return format_datetime(self.modified, usegmt=True)
        if self.modified and name == "lastmodified":
            return f"{self.modified:%Y-%m-%dT%H:%M:%S.000Z}"
        return value

    def listed(self, body: bytes) -> bytes:
        """A listing, with what the server says of its objects."""
        return re.sub(
            r"<(ETag|LastModified)>(.*?)</\1>",
            lambda found: f"<{found[1]}>{escape(self.stated(found[1], found[2]))}</{found[1]}>",
            body.decode(),
        ).encode()

    def share(self) -> float:
        """How much of the next answer is sent."""
        with self._lock:
            if self.times == 0:
                return 1.0
            self.times -= 1
            self.cut += 1
            return self.keep

    def refusal(self) -> int | None:
        """The status code that is sent instead of the next answer."""
        with self._lock:
            return self.refuse.pop(0) if self.refuse else None

    def pause(self) -> float:
        """How long the next body stalls."""
        with self._lock:
            seconds, self.stall = self.stall, 0.0
            return seconds

    def sent(self) -> None:
        """A part of an object went out whole."""
        with self._lock:
            after, self.after = self.after, None
        if after:
            after()


class Handler(BaseHTTPRequestHandler):
    """Hands requests on, and spoils the answers."""

    upstream: SplitResult
    faults: Faults
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if denied := self.faults.judge and self.faults.judge(self.headers, self.path):
            status, code, message = denied
            body = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        server = HTTPConnection(self.upstream.hostname or "", self.upstream.port)
        asked = {n: v for n, v in self.headers.items() if self.faults.etag is None or n.lower() != "if-match"}
        path = self.path
        if path.startswith("http://"):
            del asked["Host"]  # which names the access point
            parts = urlsplit(path)
            path = f"/{self.faults.bucket}{parts.path}?{parts.query}"
        server.request("GET", path, headers=asked)
        answer = server.getresponse()
        body = answer.read()
        if answer.getheader("Content-Type", "").endswith("/xml"):
            body = self.faults.listed(body)
        refusal = self.faults.refusal() if answer.status == 206 else None
        if refusal:
            body = b"<Error><Code>ServiceUnavailable</Code><Message>Please try again</Message></Error>"
        self.send_response(refusal or answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"transfer-encoding", "connection", "content-length", "date", "server"}:
                self.send_header(name, self.faults.stated(name, value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        part = answer.status == 206 and not refusal
        share = self.faults.share() if part else 1.0
        with suppress(BrokenPipeError, ConnectionResetError):  # the client may have given up
            self.send(body[: int(len(body) * share)], part)
        self.close_connection = share < 1

    def send(self, body: bytes, part: bool) -> None:
        if not part:
            self.wfile.write(body)
            return
        half = len(body) // 2
        self.wfile.write(body[:half])
        time.sleep(self.faults.pause())
        for start in range(half, len(body), BLOCK):
            time.sleep(self.faults.slow)
            self.wfile.write(body[start : start + BLOCK])
        self.faults.sent()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def proxy(endpoint: str, faults: Faults) -> Iterator[str]:
    """Run the proxy on a free port; yields its address."""
    handler = type("Spoiling", (Handler,), {"upstream": urlsplit(endpoint), "faults": faults})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign] - a client that hangs up is none
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
