"""The backend http: a service that reranks (POST …/rerank), in the form of Cohere, Jina and those that follow them."""

import json
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from pgpipe.embed.model import service
from pgpipe.errors import ModelError
from pgpipe.extras import needed
from pgpipe.settings.backend import RerankSettings

CHARACTERS = 4  # of a token, where nobody counts them: English prose
MOST = 4 << 20  # bytes of an answer; some services send the texts back
OK = 200
PARTS, SPARE = 3, 1.0  # to connect, to send and to begin to answer may take the time each; seconds more


class HttpReranker:
    """A reranker behind an address."""

    concurrent = True
    batch = 100  # in one request: the time of a request is that of the way there, more than of the texts

    def __init__(self, settings: RerankSettings) -> None:
        """Nothing is asked yet.

        Raises:
            ModelError: no address is set, the key cannot be read, or a package is missing.
        """
        with needed("http", "the backend http", ModelError):
            import httpx
        self.name = settings.model
        self._url = service.address(settings, "/rerank", "https://api.jina.ai/v1")
        self._room = settings.max_tokens * CHARACTERS
        # It follows no redirects. What is not compressed cannot grow while it is read.
        headers = service.authorization(settings) | {"Accept-Encoding": "identity"}
        self._make = partial(httpx.Client, headers=headers)
        self._clients = [self._make()]  # the last one serves
        self._turn = threading.Lock()
        weakref.finalize(self, _close, self._clients)
        self._lost = httpx.TransportError
        self._response = httpx.Response

    def scores(self, query: str, texts: list[str], seconds: float) -> Sequence[float]:
        """As `Reranker.scores`.

        Raises:
            ModelError: the service does not answer in time, refuses, or answers with something else than scores.
        """
        documents = [text[: self._room] for text in texts]
        body = {"model": self.name, "query": query[: self._room], "documents": documents, "top_n": len(documents)}
        try:
            response = self._ask(body, seconds)
        except self._lost as exc:
            raise ModelError(f"{self._url} does not answer: {exc or type(exc).__name__}") from exc
        if response.status_code != OK:
            raise ModelError(f"{self._url} answers {response.status_code}: {service.message(response)}")
        return _scores(response.content, len(texts), self._url)

    def _ask(self, body: dict[str, Any], seconds: float) -> Any:  # noqa: ANN401 - of httpx, which is optional
        until = time.monotonic() + seconds
        content = b""
        with (
            self._client(PARTS * seconds + SPARE) as client,
            client.stream("POST", self._url, json=body, timeout=seconds) as response,
        ):
            for part in response.iter_raw():
                content += part
                if len(content) > MOST:
                    raise ModelError(f"{self._url} answers with more than {MOST >> 20} MiB")
                if time.monotonic() > until:
                    raise ModelError(f"{self._url} does not answer in time")
        return self._response(response.status_code, content=content)

    @contextmanager
    def _client(self, seconds: float) -> Iterator[Any]:
        """A client that is closed under a service that sends a little again and again: a timeout is of each read."""
        with self._turn:
            if self._clients[-1].is_closed:
                self._clients[:] = [self._make()]
            client = self._clients[-1]
        late = threading.Timer(seconds, client.close)
        late.daemon = True
        late.start()
        try:
            yield client
        finally:
            late.cancel()


def _close(clients: list[Any]) -> None:
    for client in clients:
        client.close()


def _scores(content: bytes, wanted: int, url: str) -> list[float]:
    """The scores in the order of the texts."""
    try:
        rows = json.loads(content)["results"]
        found = {int(row["index"]): float(row["relevance_score"]) for row in rows}
    except (ValueError, KeyError, TypeError) as exc:
        raise ModelError(f"{url} answers with no scores ({type(exc).__name__}: {exc})") from exc
    if sorted(found) != list(range(wanted)):
        raise ModelError(f"{url} answers with scores of {len(found)} texts, not of the {wanted} that it was asked for")
    return [found[n] for n in range(wanted)]
