"""A body sent by POST, for notices. Imported by who sends one: HTTP and TLS take a while to import."""

import base64
import threading
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from pgpipe.distribution import VERSION
from pgpipe.errors import Undelivered


def post(url: str, body: str, seconds: float) -> None:
    """Send a body by POST. TLS is verified, and no redirect is followed.

    Raises:
        Undelivered: it was not accepted, or not in time.
    """
    found: list[Undelivered | None] = []
    thread = threading.Thread(target=lambda: found.append(_posted(url, body, seconds)), name="notify", daemon=True)
    thread.start()
    thread.join(seconds)  # the timeout of a socket bounds one read of many, and no search for an address
    failed = found[0] if found else Undelivered("no answer in time", again=True)
    if failed is not None:
        raise failed


def _posted(url: str, body: str, seconds: float) -> Undelivered | None:
    try:
        with urllib.request.build_opener(_NoRedirect).open(_request(url, body), timeout=seconds):
            return None
    except urllib.error.HTTPError as exc:
        exc.close()
        again = exc.code >= HTTPStatus.INTERNAL_SERVER_ERROR or exc.code == HTTPStatus.TOO_MANY_REQUESTS
        moved = "; it redirects: set the address that it leads to" if exc.code // 100 == 3 else ""  # noqa: PLR2004
        return Undelivered(f"it answered with HTTP {exc.code}{moved}", again=again)
    except urllib.error.URLError as exc:
        return Undelivered(_reason(exc.reason), again=True)
    except Exception as exc:  # noqa: BLE001 - its text may quote the address, which is secret
        return Undelivered(_reason(exc), again=isinstance(exc, OSError))


def _reason(exc: object) -> str:
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    return str(getattr(exc, "strerror", None) or getattr(exc, "verify_message", None) or type(exc).__name__)


def _request(url: str, body: str) -> urllib.request.Request:
    """The request; a user and password in the address go into its header."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    headers = {"Content-Type": "application/json", "User-Agent": f"pgpipe/{VERSION}"}
    if login:
        headers["Authorization"] = f"Basic {base64.b64encode(unquote(login).encode()).decode()}"
    address = urlunsplit((parts.scheme, host, parts.path or "/", parts.query, ""))
    return urllib.request.Request(address, body.encode(), headers, method="POST")  # noqa: S310 - the settings take http and https only


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A POST that is redirected would arrive as a GET, and without its body."""

    def redirect_request(self, *_: Any) -> None:  # noqa: ANN401 - of urllib
        """Follow none."""
