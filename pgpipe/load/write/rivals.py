"""A merge next to other writers: if one was in the way, its transaction is begun again. The rows stay staged."""

from collections.abc import Callable
from typing import TypeVar

import psycopg

from pgpipe.db import retry
from pgpipe.errors import Conflict, DataError

T = TypeVar("T")
TAKEN = (psycopg.errors.UniqueViolation, psycopg.errors.ExclusionViolation)


class Rival(Conflict):
    """A key that another transaction inserted since the merge looked for it."""

    transient = True


def among_rivals(write: Callable[[], T], what: str, tell: Callable[[str], None]) -> T:
    """Write in a transaction; again if it met a deadlock, or a key that another transaction inserted meanwhile.

    The next transaction finds the row that was inserted, and updates it. A key that is taken a second time is not a
    rival's: the files break a rule of the target.

    Raises:
        PgpipeError: what the write raised; a conflict, if it came up again and again for a minute.
    """
    met: set[tuple[str | None, str | None]] = set()

    def attempt() -> T:
        try:
            return write()
        except DataError as exc:
            if not isinstance(taken := exc.__cause__, TAKEN):
                raise
            key = taken.diag.constraint_name, taken.diag.message_detail
            if key in met:
                raise
            met.add(key)
            raise Rival(str(exc)) from exc

    try:
        return retry(attempt, what, tell, (Conflict,))
    except Conflict as exc:
        exc.transient = False  # else all would be copied again
        raise
