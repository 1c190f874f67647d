"""The backend http: vectors from an OpenAI-compatible service (POST …/embeddings), throttling understood."""

import email.utils
import math
import queue
import random
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, wait
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
from semantic_text_splitter import TextSplitter

from pgpipe.embed.model import service
from pgpipe.embed.model.base import Vectors, unit_length
from pgpipe.errors import EncodeError, ModelError, Permanent, TooLarge, Transient, Unreachable
from pgpipe.extras import needed
from pgpipe.log import get_logger
from pgpipe.settings.model import EmbeddingSettings

TEXTS = 64  # in one request
REQUESTS = 4  # at once: a service that is far away answers several in the time of one
PATIENCE = 20.0  # seconds of waiting in all before the worker hears of it, which gives the jobs back
LOOK = 0.05  # seconds between looks whether to stop
CHARACTERS = 4  # of a token, where nobody counts them: English prose
OURS_TO_SOLVE = {401, 402, 403, 404, 405}  # key, bill, model or address: no text is to blame, and waiting does not help
PASSING = {408, 409, 425, 429}
LACKING = {413, 424}  # fewer texts may do: content too large; a backend that failed, as it does when out of memory
log = get_logger(__name__)

Call = tuple[Future[Vectors], Callable[[], Vectors]]


class HttpModel:
    """A model behind an address."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        """Ask the service for one vector, to learn its dimensions.

        Raises:
            ModelError: no address is set, the key cannot be read, or the service refuses it or the model.
            Unreachable: the service does not answer.
        """
        with needed("http", "the backend http", ModelError):
            import httpx
        self.name = settings.model
        self._url = service.address(settings, "/embeddings", "https://api.openai.com/v1")
        self._settings = settings
        self._client = httpx.Client(timeout=settings.timeout, headers=service.authorization(settings))
        self._lost = httpx.TransportError
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        for _ in range(REQUESTS):
            threading.Thread(target=_serve, args=(self._calls,), name="embeddings", daemon=True).start()
        weakref.finalize(self, _close, self._calls, self._client)
        self._stopped = threading.Event()
        self._resume = 0.0  # no request is sent before this moment of the monotonic clock
        try:
            self.dims = int(self._ask(["a word"]).shape[1])
        except Transient as exc:
            raise Unreachable(str(exc)) from exc
        except EncodeError as exc:
            raise ModelError(str(exc)) from exc

    def split(self, text: str, size: int | None = None, overlap: int = 0) -> list[tuple[int, int]]:
        """Ranges of the pieces; a token is taken for four characters, because the service's tokenizer is not here."""
        limit = self._settings.max_tokens
        room = min(size or limit, limit) * CHARACTERS
        if len(text) <= room:
            return [(0, len(text))]
        chunks = TextSplitter(room, overlap * CHARACTERS).chunk_indices(text)
        return [(start, start + len(piece)) for start, piece in chunks] or [(0, len(text))]

    def encode(self, texts: list[str]) -> Vectors:
        """Vectors of documents.

        Raises:
            Transient: the service is down or asks to be left alone, also after a while.
            TooLarge: it takes fewer texts at once.
            Permanent: it refuses a text.
            ModelError: it refuses the key or the model, or answers with something else than vectors.
        """
        return self._encode(texts, self._settings.document_prompt or "")

    def encode_query(self, texts: list[str]) -> Vectors:
        """The same for questions."""
        return self._encode(texts, self._settings.query_prompt or "")

    def _encode(self, texts: list[str], prompt: str) -> Vectors:
        parts = [[prompt + text for text in texts[n : n + TEXTS]] for n in range(0, len(texts), TEXTS)]
        futures = [Future[Vectors]() for _ in parts]
        for future, part in zip(futures, parts, strict=True):
            self._calls.put((future, partial(self._ask, part)))
        return np.concatenate([np.empty((0, self.dims), np.float32), *map(self._result, futures)])

    def abort(self) -> None:
        """Wait for no answer any more: `encode` raises Transient, now and from now on."""
        self._stopped.set()

    def _result(self, future: Future[Vectors]) -> Vectors:
        while not self._stopped.is_set():
            if wait([future], LOOK).done:
                return future.result()
        raise Transient("the embedder stops")

    def _ask(self, texts: list[str]) -> Vectors:
        """One request, sent again while it is worth it."""
        until = time.monotonic() + PATIENCE
        pause = 0.5
        while True:
            if self._stopped.wait(max(0.0, self._resume - time.monotonic())):
                raise Transient("the embedder stops")
            try:
                return self._send(texts)
            except Transient as exc:
                wait = exc.retry_after if exc.retry_after is not None else pause * random.uniform(0.5, 1)  # noqa: S311
                pause = min(pause * 2, PATIENCE)
                if time.monotonic() + wait > until:
                    raise
                log.info("embedding service throttles", error=str(exc), retry_in=round(wait, 1))
                self._resume = max(self._resume, time.monotonic() + wait)  # for all requests: one was enough to know

    def _send(self, texts: list[str]) -> Vectors:
        body = {"model": self.name, "input": texts, "encoding_format": "float"}
        try:
            response = self._client.post(self._url, json=body)
        except self._lost as exc:
            raise Transient(f"{self._url} does not answer: {exc or type(exc).__name__}") from exc
        status = response.status_code
        if status == 200:  # noqa: PLR2004 - all others are errors
            error = _error(response)
            if error is None:
                return self._vectors(response, len(texts))
            status = _status(error) or 400
        reason = f"{self._url} answers {status}: {service.message(response)}"
        if status in PASSING or status >= 500:  # noqa: PLR2004 - the service's own faults
            raise Transient(reason, _retry_after(response.headers.get("Retry-After")))
        if status in OURS_TO_SOLVE or status < 400:  # noqa: PLR2004 - a redirect would carry the key elsewhere
            raise ModelError(reason)
        raise (TooLarge if status in LACKING else Permanent)(reason)

    def _vectors(self, response: Any, wanted: int) -> Vectors:  # noqa: ANN401 - of httpx, which is optional
        try:
            rows = sorted(response.json()["data"], key=lambda row: row["index"])
            missing = [math.nan] * self.dims if hasattr(self, "dims") else None  # that text is charged, no other
            vectors = np.array([row["embedding"] or missing for row in rows], np.float32)
        except (ValueError, KeyError, TypeError) as exc:
            raise ModelError(f"{self._url} answers with no embeddings ({type(exc).__name__}: {exc})") from exc
        dims = getattr(self, "dims", vectors.shape[-1])
        if [row["index"] for row in rows] != list(range(wanted)) or vectors.shape != (wanted, dims):
            raise ModelError(f"{self._url} answers with vectors of shape {vectors.shape}, not {(wanted, dims)}")
        return unit_length(vectors)


def _serve(calls: queue.SimpleQueue[Call | None]) -> None:
    """Make the calls. As a daemon's thread: a process that ends does not wait for a service that does not answer."""
    while call := calls.get():
        future, ask = call
        try:
            future.set_result(ask())
        except BaseException as exc:  # noqa: BLE001 - the thread that waits gets it
            future.set_exception(exc)
        del call, future, ask  # which hold the model


def _close(calls: queue.SimpleQueue[Call | None], client: Any) -> None:  # noqa: ANN401 - of httpx, which is optional
    for _ in range(REQUESTS):
        calls.put(None)
    client.close()


def _retry_after(value: str | None) -> float | None:
    """Seconds, from the header's number or date; None where it says nothing that can be read."""
    if value is None:
        return None
    if value.strip().replace(".", "", 1).isdigit():
        return float(value)
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _error(response: Any) -> Any:  # noqa: ANN401 - of httpx, and whatever the service says
    """What a service that answers with success says to be an error; None if it says nothing of the kind."""
    try:
        body = response.json()
    except ValueError:
        return None
    return body.get("error") if isinstance(body, dict) and not body.get("data") else None


def _status(error: Any) -> int | None:  # noqa: ANN401 - as the service wrote it
    """The status that an error names, as gateways do that answer with success."""
    code = str(error.get("code", error.get("status"))) if isinstance(error, dict) else ""
    return int(code) if code.isdigit() and 400 <= int(code) < 600 else None  # noqa: PLR2004 - errors of HTTP
