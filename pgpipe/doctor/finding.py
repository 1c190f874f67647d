"""A finding: what was looked at, how it is, and what to do."""

from dataclasses import dataclass
from typing import Literal

from pgpipe.secret import mask


@dataclass(frozen=True)
class Finding:
    """One line of the doctor."""

    check: str
    state: Literal["ok", "warning", "failure"]
    message: str
    todo: str = ""
    exit_code: int = 0  # of a failure

    def __post_init__(self) -> None:
        """Findings are printed, and some name an address."""
        object.__setattr__(self, "message", mask(self.message))


def ok(check: str, message: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", message)


def warning(check: str, message: str, todo: str) -> Finding:
    """It works, but slower, less safely or with less than it could."""
    return Finding(check, "warning", message, todo)


def failure(check: str, message: str, todo: str = "", exit_code: int = 1) -> Finding:
    """Something will not work; if `todo` is empty, the message says what to do."""
    return Finding(check, "failure", message, todo, exit_code)
