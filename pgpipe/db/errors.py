"""Errors of the driver, translated: one line each, with what to do, and no value of a row."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from pgpipe import errors
from pgpipe.mask import said

BY_SQLSTATE: dict[str, type[errors.PgpipeError]] = {
    "PP006": errors.VectorsMissing,
    "PP010": errors.DataError,
    "PP012": errors.RowsHidden,
    "PP013": errors.GateFailed,
    "PP014": errors.DataError,
    "PP020": errors.UsageError,
    "PP022": errors.UsageError,
}
PART_OF_URL = re.compile(
    r"""(["'])[^"']*@[^"']*\1"""
)  # libpq takes what follows the first @ of a password for the host's name
LONGEST_KEY = 200  # characters of a key that a message quotes
OF_ROWS = ("22", "23", "54000")  # SQLSTATEs: a value, a rule of the table, a row or a key that is too large
# SQLSTATEs: a lost connection, a server that restarts, a deadlock, no free connection, another server that was lost.
TRANSIENT = ("08", "57P01", "57P02", "57P03", "40P01", "40001", "53300", "58030")
NO_SCHEMA = re.compile(r"(?<![\w.])pgpipe(_internal)?(?!\w)")  # the schema, or what is in it, in whatever language


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into ours: one line each, with what to do.

    Raises:
        Unreachable: the server does not answer, or refused the login.
        InternalError: the driver was used in a way that it refuses.
        SchemaMissing: `pgpipe migrate` has not run, or not with this version.
        VectorsMissing: the database has no pgvector.
        DataError: rows that break a rule of the target.
        DatabaseError: any other refusal of the server.
    """
    try:
        yield
    except psycopg.Error as exc:
        raise translate(exc) from exc


def translate(exc: psycopg.Error) -> errors.PgpipeError:
    """Our error for an error of the driver, without row values and passwords."""
    error = _translate(exc)
    error.sqlstate = exc.sqlstate
    lost = exc.sqlstate is None and isinstance(error, errors.Unreachable)
    error.transient = lost or (exc.sqlstate or "").startswith(TRANSIENT)
    return error


def _translate(exc: psycopg.Error) -> errors.PgpipeError:
    state = exc.sqlstate
    if state is None and not isinstance(exc, psycopg.OperationalError):  # the driver's own: nothing reached the server
        kind = errors.DataError if isinstance(exc, psycopg.DataError) else errors.InternalError
        return kind(f"the database driver refuses this: {said(exc)}")
    if state is None or state.startswith(("08", "57P")):
        reason = PART_OF_URL.sub("… (write an @ within a URL's password as %40)", _first_line(exc))
        return errors.Unreachable(f"the database does not answer: {reason}")
    if state.startswith("28"):
        return errors.Unreachable(f"the database refused the login: {exc.diag.message_primary}")
    if state in {"3F000", "42P01", "42883"} and NO_SCHEMA.search(exc.diag.message_primary or ""):
        return errors.SchemaMissing(
            f"the database lacks pgpipe's schema ({exc.diag.message_primary}); run `pgpipe migrate`"
        )
    if state == "25006":
        return errors.DatabaseError(
            f"the database is read-only: {exc.diag.message_primary}; connect to the primary server, or look whether its"
            " disk is full and default_transaction_read_only is set for that reason"
        )
    if state.startswith("40"):
        return errors.Conflict(f"another transaction was in the way: {exc.diag.message_primary}")
    known = BY_SQLSTATE.get(state, errors.DataError if state.startswith(OF_ROWS) else errors.DatabaseError)
    hint = " ".join(("", *(exc.diag.message_hint or "").split()))
    message = said(exc).rstrip(".")
    if state == "23503" and exc.diag.message_detail:  # a key, and the table that lacks it
        message = f"{message}: {exc.diag.message_detail[:LONGEST_KEY].rstrip('.')}"
    return known(f"{message}.{hint}" if hint else message)


def _first_line(exc: BaseException) -> str:
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[0] if lines else type(exc).__name__
