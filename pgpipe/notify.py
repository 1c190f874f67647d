"""Notices: what became of a load, as JSON, to a command or to an address. One that does not arrive harms no load."""

import json
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from pgpipe.errors import Undelivered
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
        from pgpipe.post import post

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


def _masked(value: Any) -> Any:  # noqa: ANN401 - a part of a report
    if isinstance(value, dict):
        return {name: _masked(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(part) for part in value]
    return mask(value[:LONGEST]) if isinstance(value, str) else value
