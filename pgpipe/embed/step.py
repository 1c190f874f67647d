"""A step of a worker: whatever goes wrong in it is an error of ours, which says what the worker was doing."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from pgpipe import errors
from pgpipe.db import translate
from pgpipe.embed.halt import END
from pgpipe.mask import said

MORE = "; `pgpipe --verbose` logs where"


@contextmanager
def step(doing: str) -> Iterator[None]:
    """Turn whatever goes wrong into an error of ours.

    Args:
        doing: what for, as a message says it: "claiming jobs".

    Raises:
        PgpipeError: what went wrong. It is an InternalError unless the database or the model is at fault.
    """
    try:
        yield
    except END:
        raise
    except BaseException as exc:
        error = judged(exc, doing)
        if error is exc:
            raise
        raise error from exc


def judged(exc: BaseException, doing: str) -> errors.PgpipeError:
    """An exception as an error of ours."""
    if isinstance(exc, psycopg.Error):
        return translate(exc)
    if isinstance(exc, errors.PgpipeError):
        return exc
    return errors.InternalError(f"pgpipe failed while {doing}: {said(exc)}{MORE}")
