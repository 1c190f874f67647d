"""Packages that only some installations have: what needs one that is missing says how to install it."""

from collections.abc import Iterator
from contextlib import contextmanager

from pgpipe.distribution import install
from pgpipe.errors import PgpipeError, UsageError


@contextmanager
def needed(extra: str, by: str, error: type[PgpipeError] = UsageError) -> Iterator[None]:
    """Import the packages of an extra within.

    Args:
        extra: of this distribution, as pyproject.toml names it.
        by: what needs it, as the subject of a sentence.
        error: to raise.

    Raises:
        PgpipeError: a package is not installed; the line names it, and the command that brings it.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        package = (exc.name or "").partition(".")[0] or "a package"
        raise error(f"{by} needs {package}, which is not installed: {install(extra)}") from None
