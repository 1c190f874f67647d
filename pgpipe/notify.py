"""Notices: what became of a load, as JSON, to a command or to an address. One that does not arrive harms no load."""

import base64
import json
import os
import shlex
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import unquote, urlsplit, urlunsplit

from pgpipe.distribution import VERSION
from pgpipe.secret import mask
from pgpipe.settings.notify import NotifySettings

Event = Literal["failure", "gate", "success", "test"]
TRIES = 3
PAUSE = 1.0  # seconds after the first try; twice as long after the second
LONGEST = 4000  # characters of one text


@dataclass(frozen=True)
class Notice:
    """What is said of a run."""

    event: Event
    text: str  # for people
    exit_code: int = 0
    report: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> str:
        """With the machine that it happened on, and without secrets."""
        said = {"event": self.event, "text": self.text[:LONGEST], "host": socket.gethostname()}
        return json.dumps(_masked(said | self.report | {"exit_code": self.exit_code}), ensure_ascii=False, default=str)


class Undelivered(Exception):
    """A notice did not arrive."""

    def __init__(self, why: str, *, again: bool = False) -> None:
        super().__init__(why)
        self.again = again  # whether a later try may well succeed


def notify(settings: NotifySettings, notice: Notice) -> list[str]:
    """Send a notice where it is wanted; returns why it did not arrive, a line each, without secrets."""
    if notice.event != "test" and notice.event not in settings.on:
        return []
    return list(_send(settings, notice))


def _send(settings: NotifySettings, notice: Notice) -> Iterator[str]:
    if settings.command:
        try:
            run_command(settings.command, notice, settings.timeout)
        except Undelivered as exc:
            yield f"notify.command was not notified: {exc}"
    if settings.url:
        url = settings.url.get_secret_value()
        try:
            _retried(lambda: post(url, notice.as_json(), settings.timeout))
        except Undelivered as exc:
            yield f"notify.url ({urlsplit(url).hostname}) was not notified: {exc}"


def run_command(command: str, notice: Notice, seconds: float) -> None:
    """Run a command with the notice on its standard input; what it prints goes to stderr.

    Raises:
        Undelivered: it cannot be run, failed, or took too long, and was ended with all that it had started.
    """
    about = {"REPORT_EVENT": notice.event, "REPORT_EXIT_CODE": str(notice.exit_code)}
    about |= {
        "REPORT_TEXT": mask(notice.text[:LONGEST]).replace("\0", ""),
        "REPORT_DATE": notice.report.get("date") or "",
    }
    try:
        process = subprocess.Popen(  # noqa: S603 - the configuration names it
            shlex.split(command), stdin=subprocess.PIPE, stdout=2, env=os.environ | about, start_new_session=True
        )
    except (OSError, ValueError) as exc:
        raise Undelivered(f"it cannot be run: {getattr(exc, 'strerror', None) or 'its name is not valid'}") from None
    with process:
        try:
            process.communicate(notice.as_json().encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Undelivered(f"it took longer than the {seconds:g} s of notify.timeout, and was ended") from None
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise Undelivered(f"it ended with exit code {process.returncode}")


def _retried(send: Callable[[], None]) -> None:
    for number in range(TRIES):
        try:
            return send()
        except Undelivered as exc:
            if not exc.again or number == TRIES - 1:
                raise
        time.sleep(PAUSE * 2**number)
    return None


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


def _masked(value: Any) -> Any:  # noqa: ANN401 - a part of a report
    if isinstance(value, dict):
        return {name: _masked(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(part) for part in value]
    return mask(value[:LONGEST]) if isinstance(value, str) else value
