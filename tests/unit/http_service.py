"""A real local HTTP service of vectors, which misbehaves on order."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, dict[str, str], object]  # status, headers, body
Rule = Callable[[list[str]], Answer]  # what texts are answered by


def vectors(texts: list[str]) -> dict[str, object]:
    """What a service of that kind answers, in any order."""
    rows = [{"index": n, "embedding": [float(len(t)), 3.0, 4.0], "object": "embedding"} for n, t in enumerate(texts)]
    return {"object": "list", "data": rows[::-1], "model": "m"}


class Service(ThreadingHTTPServer):
    """An OpenAI-compatible service; `answers` come first, one a request, then it works."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = []
        self.rule: Rule = lambda texts: (200, {}, vectors(texts))
        self.requests: list[tuple[dict, dict]] = []  # headers, body

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def texts(self) -> list[list[str]]:
        return [body["input"] for _, body in self.requests]


class Handler(BaseHTTPRequestHandler):
    server: Service
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((dict(self.headers) | {"path": self.path}, body))
        status, headers, answer = self.server.answers.pop(0) if self.server.answers else self.server.rule(body["input"])
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        with suppress(ConnectionError):  # whoever asked may have gone
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(data))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Service]:
    """A service on the loopback."""
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
