"""Answers of the API: JSON, and errors of one shape that say what the caller can change, and nothing of the inside."""

import json
import math
from typing import Any

from starlette.responses import Response

from pgpipe import errors
from pgpipe.api.vectors import ModelLoading
from pgpipe.log import get_logger
from pgpipe.plain import plain
from pgpipe.searching.ask import Hit
from pgpipe.target import UnknownName
from pgpipe.web.api.tokens import TooMany, Unauthorized

log = get_logger(__name__)
MISFIT = ("PP002", "PP003", "22")  # SQLSTATEs: a name, a shape or a value of the request does not fit the table
UNKNOWN = "the entity is unknown; /v1/entities lists those of this token"


def answer(value: Any, code: int = 200, headers: dict[str, str] | None = None) -> Response:  # noqa: ANN401 - any answer
    """JSON."""
    text = json.dumps(value, ensure_ascii=False, default=plain)
    return Response(text, code, media_type="application/json", headers=headers)


def hits(found: list[Hit]) -> list[dict[str, Any]]:
    """Hits. Why a reranker read none is for the log: it names addresses, and quotes a service."""
    if found and (read := found[0].reranked) and read.fault:
        log.warning("answers are not reranked", error=read.fault)
    return [_hit(each) for each in found]


def _hit(found: Hit) -> dict[str, Any]:
    """A hit without what it does not have."""
    known = {name: value for name, value in vars(found).items() if value is not None}
    return known | {"reranked": {"rows": read.rows, "of": read.of}} if (read := found.reranked) else known


def error(code: int, name: str, message: str, wait: float | None = None) -> Response:
    """An error, with what to wait for if there is something."""
    headers = {"retry-after": str(max(1, math.ceil(wait)))} if wait is not None else {}
    if code == 401:  # noqa: PLR2004 - HTTP's own
        headers["www-authenticate"] = 'Bearer realm="pgpipe"'
    return answer({"error": {"code": name, "message": message}}, code, headers)


def failed(exc: errors.PgpipeError) -> Response:
    """What a caller hears of an error; what it cannot change is in the log."""
    state = exc.sqlstate or ""
    if isinstance(exc, Unauthorized):
        return error(401, "unauthorized", "this needs a token that holds: Authorization: Bearer …")
    if isinstance(exc, TooMany):
        return error(429, "too_many_requests", str(exc), exc.wait)
    if isinstance(exc, UnknownName):
        return error(404, "not_found", UNKNOWN)
    if isinstance(exc, errors.UsageError) or state.startswith(MISFIT):
        return error(400, "bad_request", str(exc))
    if isinstance(exc, errors.VectorsMissing):
        return error(400, "no_vectors", "this entity has no vectors; ask in mode text")
    if state == "42501":
        return error(403, "forbidden", "the role of this token may not read what the search needs")
    if state == "57014":
        return timeout()
    if isinstance(exc, ModelLoading):
        return error(503, "loading", "the model is being loaded; try again in a few seconds", 2)
    log.error("request failed", error=str(exc), sqlstate=state or None)
    if exc.transient or isinstance(exc, errors.Unreachable) or state.startswith("53"):
        return error(503, "unavailable", "the database does not answer now; try again later", 2)
    return error(500, "internal", "the search failed; the log of the server says why")


def timeout() -> Response:
    """The search took longer than a request may."""
    return error(504, "timeout", "the search took too long and was cancelled; ask for less")
