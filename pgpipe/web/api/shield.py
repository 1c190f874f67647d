"""Around the API: who may ask, how much at once, how long; one line of metrics for each request, and no text of it."""

import asyncio
import time
from collections import Counter as Counts
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pgpipe.errors import PgpipeError
from pgpipe.log import get_logger
from pgpipe.web.api import answers
from pgpipe.web.api.tokens import Known, TooMany

PREFIX = "/v1/"  # what needs a token
LARGEST = 65_536  # bytes of a request
SLOWEST = 10.0  # seconds that a request may take to arrive
OTHERS = 4  # of so many requests at work, one is for other tokens
MARGIN = 1.0  # seconds: the database cancels first, and says so
PATHS = frozenset(f"/v1/{name}" for name in ("search", "similar", "suggest", "facets", "entities"))
Admit = Callable[[str], Awaitable[Known]]
log = get_logger(__name__)


class Meters:
    """What the API counts."""

    def __init__(self) -> None:
        self.registry = known = CollectorRegistry()
        self.requests = Counter("pgpipe_api_requests", "Requests by their answer.", ["path", "status"], registry=known)
        self.seconds = Histogram("pgpipe_api_request_seconds", "Until the answer.", ["path"], registry=known)
        self.at_work = Gauge("pgpipe_api_requests_at_work", "Requests that are worked on.", registry=known)


class Shield:
    """Lets a request through once it has a token, has arrived, and there is room for it."""

    def __init__(self, app: ASGIApp, admit: Admit, most: int, limit: float, meters: Meters) -> None:
        """Around `app`.

        Args:
            app: answers.
            admit: says whose a token is, and counts the request.
            most: requests at work; one more is refused.
            limit: seconds that one may take.
            meters: count.
        """
        self._app = app
        self._admit = admit
        self._most = most
        self._limit = limit
        self._meters = meters
        self._at_work: Counts[str] = Counts()  # by token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse in a line."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)  # the server cuts a client that does not take it

        path = scope["path"] if scope["path"] in PATHS else "other"
        try:
            refused = await self._let_in(scope, receive, sent)
            if refused:
                await refused(scope, receive, sent)
        finally:
            self._meters.requests.labels(path, str(status)).inc()
            self._meters.seconds.labels(path).observe(time.perf_counter() - began)
            log.debug("request", path=path, status=status, token=scope.get("pgpipe.token_id"))

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> Response | None:
        try:
            token = await self._admit(_bearer(Headers(scope=scope)))
        except PgpipeError as exc:
            return answers.failed(exc)
        scope["pgpipe.token"], scope["pgpipe.token_id"] = token, token.token_id
        body = await _read(scope, receive)
        if isinstance(body, Response):
            return body
        if self._at_work.total() >= self._most:
            return answers.error(503, "overloaded", "too many requests are at work; try again in a second", 1)
        if self._at_work[token.token_id] >= self._most - self._most // OTHERS:
            return answers.failed(TooMany(1))
        try:
            with self._working(token.token_id):
                messages = await self._work(scope, body)
        except TimeoutError:
            return answers.timeout()
        for message in messages:
            await send(message)
        return None

    @contextmanager
    def _working(self, token_id: str) -> Iterator[None]:
        self._at_work[token_id] += 1
        self._meters.at_work.inc()
        try:
            yield
        finally:
            self._at_work -= Counts([token_id])  # which drops a token that has none left
            self._meters.at_work.dec()

    async def _work(self, scope: Scope, body: bytes) -> list[Message]:
        """The answer. It is short, and sent after the work: a client that reads it slowly takes no room."""
        messages: list[Message] = []

        async def given() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def kept(message: Message) -> None:
            messages.append(message)

        async with asyncio.timeout(self._limit + MARGIN):
            await self._app(scope, given, kept)
        return messages


async def _read(scope: Scope, receive: Receive) -> bytes | Response:
    """The body, or why it is not taken."""
    too_large = answers.error(413, "too_large", f"a request has at most {LARGEST:,} bytes")
    length = Headers(scope=scope).get("content-length", "0")
    if not (length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= LARGEST):  # noqa: PLR2004 - int() of a novel takes long
        return too_large
    body = bytearray()
    try:
        async with asyncio.timeout(SLOWEST):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return answers.error(400, "bad_request", "the request ended before it was whole")
                body += message.get("body", b"")
                if len(body) > LARGEST:
                    return too_large
                if not message.get("more_body"):
                    return bytes(body)
    except TimeoutError:
        return answers.error(408, "too_slow", f"the request did not arrive within {SLOWEST:.0f} seconds")


def _bearer(headers: Headers) -> str:
    """The token of a request; empty if it has none, or several."""
    given = headers.getlist("authorization")
    scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
