"""Logs, never with a secret or a row's text: records of the standard library's loggers, which the command writes.

A program that imports pgpipe says itself where they go. The command writes them readable in a terminal, else as
key=value or JSON, with a run id on every line.
"""

import logging
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TextIO

import structlog
from structlog.stdlib import BoundLogger
from structlog.typing import EventDict, Processor, WrappedLogger

from pgpipe.errors import UsageError
from pgpipe.mask import said, trace
from pgpipe.secret import scrub

Format = Literal["human", "keyvalue", "json"]
FIRST = ["timestamp", "level", "run", "event"]
OURS = logging.getLogger("pgpipe")
OURS.addHandler(logging.NullHandler())  # a library is silent until its program wants to hear it


def get_logger(name: str) -> BoundLogger:
    """The logger of a module: an event and its fields become one record, the fields in its `told` too."""
    logger: BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[structlog.stdlib.filter_by_level, _exceptions, _scrubbed, _as_record],
        wrapper_class=BoundLogger,
    )
    return logger


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
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Run(uuid.uuid4().hex[:8]),
        _exceptions,
        _scrubbed,
    ]
    structlog.configure(
        processors=[*shared, _renderer(form or ("human" if stream.isatty() else "keyvalue"))],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    OURS.setLevel(level)
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if not isinstance(h, _Bridge)] + [_Bridge(level)]
    return (lambda: _close(stream)) if file else lambda: None


def _close(stream: TextIO) -> None:
    configure(logging.CRITICAL)
    stream.close()


class _Run:
    """The id of the process on every line, also in threads that lack our context."""

    def __init__(self, run: str) -> None:
        self._run = run

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["run"] = self._run
        return event


def _open(file: Path) -> TextIO:
    try:
        return file.open("a", encoding="utf-8", buffering=1)
    except OSError as exc:
        raise UsageError(f"--log-file {file} cannot be written: {exc.strerror}") from exc


def _renderer(form: Format) -> Processor:
    if form == "human":
        return structlog.dev.ConsoleRenderer(pad_event_to=0)
    if form == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    return structlog.processors.LogfmtRenderer(key_order=FIRST, drop_missing=True, bool_as_flag=False)


class _Bridge(logging.Handler):
    """What the loggers of the standard library get: ours with its fields, other libraries' from warnings on."""

    def emit(self, record: logging.LogRecord) -> None:
        told = getattr(record, "told", None)
        if told is not None:
            structlog.get_logger().log(record.levelno, **told)
        elif record.levelno >= logging.WARNING:
            event = record.getMessage()
            structlog.get_logger().log(record.levelno, event, logger=record.name, exc_info=record.exc_info)


def _as_record(_logger: WrappedLogger, _method: str, event: EventDict) -> tuple[tuple[str, str], dict[str, Any]]:
    """What a method of a standard logger is called with."""
    line = structlog.processors.LogfmtRenderer(drop_missing=True, bool_as_flag=False)
    rest = line(None, "", {name: value for name, value in event.items() if name != "event"})
    return ("%s", f"{event['event']} {rest}".rstrip()), {"extra": {"told": dict(event)}}


def _exceptions(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A traceback of places, and a safe message for each exception: its text could quote a row."""
    info = event.pop("exc_info", None)
    exc = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(exc, BaseException):
        event["exception"] = trace(exc)
    return event


def _scrubbed(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {name: _clean(value) for name, value in event.items()}


def _clean(value: Any) -> Any:  # noqa: ANN401 - whatever was logged
    if isinstance(value, dict):
        return {name: _clean(below) for name, below in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(below) for below in value]
    if isinstance(value, BaseException):
        return said(value)
    return scrub(value) if isinstance(value, str) else value
