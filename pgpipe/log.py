"""Logs, never with a secret or a row's text: records of the standard library's loggers, which the command writes.

A program that imports pgpipe says itself where they go. The command writes them readable in a terminal, else as
key=value or JSON, with a run id on every line. What renders them is imported with the first line: most commands write
none.
"""

import logging
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from pgpipe.errors import UsageError
from pgpipe.mask import said, trace
from pgpipe.secret import scrub

if TYPE_CHECKING:
    from structlog.typing import Processor

Format = Literal["human", "keyvalue", "json"]
FIRST = ["timestamp", "level", "run", "event"]
OURS = logging.getLogger("pgpipe")
OURS.addHandler(logging.NullHandler())  # a library is silent until its program wants to hear it
CALLER = 3  # calls between the one who logs and the logger


class Logger:
    """The logger of a module: an event and its fields become one record, the fields in its `told` too."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - whatever is to be known
        """For who looks for a fault."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:  # noqa: ANN401
        """What happens."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:  # noqa: ANN401
        """What may need somebody."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:  # noqa: ANN401
        """What failed."""
        self._log(logging.ERROR, event, fields)

    def critical(self, event: str, **fields: Any) -> None:  # noqa: ANN401
        """What must not happen."""
        self._log(logging.CRITICAL, event, fields)

    def _log(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if self._logger.isEnabledFor(level):
            told = _safe({"event": event, **fields})
            self._logger.log(level, "%s", _Line(told), extra={"told": told}, stacklevel=CALLER)


def get_logger(name: str) -> Logger:
    """The logger of a module."""
    return Logger(name)


def configure(level: int, file: Path | None = None, form: Format | None = None) -> Callable[[], None]:
    """Send the logs of this process, other libraries' warnings included, to a file or to stderr. For the command only.

    Args:
        level: of logging; less is dropped.
        file: appended to; stderr where None.
        form: by default `human` in a terminal, else `keyvalue`.

    Returns:
        What closes the file again; every line carries the id of this run, 8 hexadecimal digits.

    Raises:
        UsageError: the file cannot be written.
    """
    stream = _open(file) if file else sys.stderr
    OURS.setLevel(level)
    writer = _Writer(level, stream, form or ("human" if stream.isatty() else "keyvalue"))
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if not isinstance(h, _Writer)] + [writer]
    return (lambda: _close(stream)) if file else lambda: None


def _close(stream: TextIO) -> None:
    configure(logging.CRITICAL)
    stream.close()


def _open(file: Path) -> TextIO:
    try:
        return file.open("a", encoding="utf-8", buffering=1)
    except OSError as exc:
        raise UsageError(f"--log-file {file} cannot be written: {exc.strerror}") from exc


class _Line:
    """The text of a record, made if somebody reads it."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told

    def __str__(self) -> str:
        from structlog.processors import LogfmtRenderer

        line = LogfmtRenderer(drop_missing=True, bool_as_flag=False)
        rest = line(None, "", {name: value for name, value in self._told.items() if name != "event"})
        return f"{self._told['event']} {rest}".rstrip()


class _Writer(logging.Handler):
    """What the loggers of the standard library get: ours with its fields, other libraries' from warnings on."""

    def __init__(self, level: int, stream: TextIO, form: Format) -> None:
        super().__init__(level)
        self._stream, self._form = stream, form
        self._run = os.urandom(4).hex()  # on every line, whichever thread writes it

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        told = getattr(record, "told", None)
        if told is None:
            if record.levelno < logging.WARNING:
                return
            told = _safe({"event": record.getMessage(), "logger": record.name, "exc_info": record.exc_info})
        about = {"level": record.levelname.lower(), "run": self._run, "timestamp": _moment(record.created)}
        self._stream.write(self._render({**told, **about}) + "\n")
        self._stream.flush()

    def _render(self, told: dict[str, Any]) -> str:
        return str(self._renderer(None, "", told))

    @cached_property
    def _renderer(self) -> "Processor":
        import structlog

        if self._form == "human":
            return structlog.dev.ConsoleRenderer(pad_event_to=0)
        if self._form == "json":
            return structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
        return structlog.processors.LogfmtRenderer(key_order=FIRST, drop_missing=True, bool_as_flag=False)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _safe(fields: dict[str, Any]) -> dict[str, Any]:
    """Without secrets. Of an exception a traceback of places, and a safe message: its text could quote a row."""
    info = fields.pop("exc_info", None)
    exc = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(exc, BaseException):
        fields["exception"] = trace(exc)
    return {name: _clean(value) for name, value in fields.items()}


def _clean(value: Any) -> Any:  # noqa: ANN401 - whatever was logged
    if isinstance(value, dict):
        return {name: _clean(below) for name, below in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(below) for below in value]
    if isinstance(value, BaseException):
        return said(value)
    return scrub(value) if isinstance(value, str) else value
