"""A faulty network in front of an S3 server: a proxy that cuts answers short, refuses, stalls, or calls the test."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import urlsplit

BLOCK = 16 << 10


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
        self._lock = Lock()

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


@contextmanager
def proxy(endpoint: str, faults: Faults) -> Iterator[str]:
    """Run the proxy on a free port; yields its address."""
    upstream = urlsplit(endpoint)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server = HTTPConnection(upstream.hostname or "", upstream.port)
            server.request("GET", self.path, headers=dict(self.headers))
            answer = server.getresponse()
            body = answer.read()
            refusal = faults.refusal() if answer.status == 206 else None
            if refusal:
                body = b"<Error><Code>ServiceUnavailable</Code><Message>Please try again</Message></Error>"
            self.send_response(refusal or answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"transfer-encoding", "connection", "content-length", "date", "server"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            part = answer.status == 206 and not refusal
            share = faults.share() if part else 1.0
            with suppress(BrokenPipeError, ConnectionResetError):  # the client may have given up
                self.send(body[: int(len(body) * share)], part)
            self.close_connection = share < 1

        def send(self, body: bytes, part: bool) -> None:
            if not part:
                self.wfile.write(body)
                return
            half = len(body) // 2
            self.wfile.write(body[:half])
            time.sleep(faults.pause())
            for start in range(half, len(body), BLOCK):
                time.sleep(faults.slow)
                self.wfile.write(body[start : start + BLOCK])
            faults.sent()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
