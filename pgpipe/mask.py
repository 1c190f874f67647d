"""Safe messages of exceptions: without values of rows, and without secrets."""

import re
import traceback

from pgpipe.errors import PgpipeError
from pgpipe.secret import scrub

# From the first quote to the last: a value may hold quotes itself. A server may speak any language (lc_messages).
QUOTED = re.compile(r"\".*\"|'.*'|«.*»|».*«|„.*[“”]|“.*”|「.*」", re.DOTALL)
OF_ENCODING = {"22021", "22P05"}  # whose quotes hold the name of an encoding, and whose values are single characters
LONGEST = 300  # characters of a foreign error's sentence


def said(exc: BaseException) -> str:
    """One line: what an exception says, without values of rows and secrets.

    An error of ours was written to be read. Of a driver's, DETAIL and CONTEXT are left out, which quote the row, and of
    its sentence the value where its class says that a value is at fault (22). Of any other, whatever stands in quotes.
    """
    if isinstance(exc, PgpipeError):
        return scrub(str(exc))
    primary = getattr(getattr(exc, "diag", None), "message_primary", None)
    if primary:
        state = str(getattr(exc, "sqlstate", ""))
        quotes_value = state.startswith("22") and state not in OF_ENCODING
        return scrub(QUOTED.sub('"…"', primary) if quotes_value else primary)
    first = next((line.strip() for line in str(exc).splitlines() if line.strip()), "")
    if not isinstance(exc, OSError):  # whose quotes hold the name of a file
        first = QUOTED.sub("…", first)
    return scrub(f"{type(exc).__name__}: {first}"[:LONGEST] if first else type(exc).__name__)


def trace(exc: BaseException) -> str:
    """A traceback of places, with a safe message for each exception in the chain."""
    before = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
    lines = [trace(before)] if before is not None else []
    lines += [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(exc.__traceback__)]
    return "\n".join([*lines, said(exc) if not isinstance(exc, PgpipeError) else f"{type(exc).__name__}: {said(exc)}"])
