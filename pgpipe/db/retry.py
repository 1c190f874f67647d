"""Retries: work that lost the database or the source is begun again after a pause."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from pgpipe import errors
from pgpipe.log import get_logger

T = TypeVar("T")
log = get_logger(__name__)
PAUSES = (0.5, 1, 2, 4, 8, 15, 30)  # seconds before each new try


def retry(
    run: Callable[[], T],
    what: str,
    tell: Callable[[str], None] = lambda _line: None,
    kinds: tuple[type[errors.PgpipeError], ...] = (errors.PgpipeError,),
) -> T:
    """Run; if the database or the source is lost on the way, run again after a pause, for about a minute in all.

    Args:
        run: begins from the start whenever it is called, whatever an earlier call did.
        what: how messages name it.
        tell: called with a line before each new try.
        kinds: errors that are tried again if they are transient.

    Raises:
        PgpipeError: one that is not transient, or the last of those that are.
    """
    for pause in PAUSES:
        try:
            return run()
        except kinds as exc:
            if not exc.transient:
                raise
            log.warning("retried", what=what, because=str(exc))
            tell(f"{what} is retried: {exc}")
        time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spread, not secret
    return run()
