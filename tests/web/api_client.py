"""A served API: uvicorn on loopback as `pgpipe serve --api` runs it, over a database that uses the roles."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import httpx
from psycopg.conninfo import make_conninfo

from pgpipe import tokens
from pgpipe.db import Database
from pgpipe.settings.model import Settings
from pgpipe.target import Target
from pgpipe.web.api.app import create_api
from pgpipe.web.api.server import make_server
from pgpipe.web.asking import Models
from tests.sql.fake_model import Fake
from tests.sql.support import eventually

QUESTION = {"query": "waterproof jacket", "entity": "doc"}


def settings(database: Database, more: dict[str, Any] | None = None, **serve: Any) -> Settings:
    """The server logs in as pgpipe_api; `more` are other sections."""
    url = make_conninfo(database.url, user="pgpipe_api")
    known = {"database": {"url": database.url}, "embedding": {"model": "fake"}}
    return Settings.model_validate(known | {"serve": {"api": True, "url": url} | serve} | (more or {}))


@contextmanager
def serving(known: Settings) -> Iterator[str]:
    """The address of the API, while the block runs."""
    models = Models(known.embedding, lambda _: Fake())
    server = make_server(create_api(known, models), known.serve)
    sock = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    scheme = "https" if known.serve.tls_cert else "http"
    yield f"{scheme}://localhost:{sock.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


def token(database: Database, *targets: str, role: str = "pgpipe_reader", **given: Any) -> str:
    """A token of these tables."""
    with database.connect(autocommit=True) as conn:
        oids = [Target(conn.execute("select %s::regclass::oid::bigint", (t,)).fetchone()[0], "", t) for t in targets]  # type: ignore[index]
        return tokens.create(conn, "shop", role, oids, **({"per_minute": 60_000} | given))


class Client:
    """Asks as an application does."""

    def __init__(self, url: str, held: str | None, *, waits: bool = True, **given: Any) -> None:
        self._waits = waits and held is not None
        self.base = url
        headers = {"authorization": f"Bearer {held}"} if held else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=30, **given)

    def __enter__(self) -> Self:
        if self._waits:  # a server looks for tokens that it does not know once a second
            eventually(lambda: self.raw("GET", "/v1/entities").status_code != 401)
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def post(self, name: str, code: int = 200, **body: Any) -> Any:
        """The answer to a request with this body."""
        response = self._http.post(f"/v1/{name}", json=body)
        assert response.status_code == code, response.text
        return response.json()

    def raw(self, method: str, path: str, **given: Any) -> httpx.Response:
        """Any request."""
        return self._http.request(method, path, **given)
