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
    lines: list[str] = []
    for each in reversed(_chain(exc)):
        frames = traceback.extract_tb(each.__traceback__)
        lines += [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
        lines.append(f"{type(each).__name__}: {said(each)}" if isinstance(each, PgpipeError) else said(each))
    return "\n".join(lines)


def _chain(exc: BaseException) -> list[BaseException]:
    """An exception and what led to it; a library may raise one twice, which then leads to itself."""
    chain: list[BaseException] = []
    before: BaseException | None = exc
    while before is not None and not any(before is known for known in chain):
        chain.append(before)
        before = before.__cause__ or (None if before.__suppress_context__ else before.__context__)
    return chain
