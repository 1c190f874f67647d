"""A faulty network in front of an S3 server: a proxy that cuts answers short."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit


class Faults:
    """What the proxy does to answers with a part of an object; set by the test."""

    def __init__(self) -> None:
        self.keep = 1.0  # share of the body that is sent before the connection is closed
        self.times = 0  # how many answers are cut; -1 for all
        self.cut = 0  # how many were

    def share(self) -> float:
        """How much of the next answer is sent."""
        if self.times == 0:
            return 1.0
        self.times -= 1
        self.cut += 1
        return self.keep


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
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"transfer-encoding", "connection", "content-length", "date", "server"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            share = faults.share() if answer.status == 206 else 1.0
            self.wfile.write(body[: int(len(body) * share)])
            self.close_connection = share < 1

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
