"""What must never be printed: passwords, keys and connection strings, wherever a text holds them."""

import re
import traceback

from pgpipe.errors import PgpipeError

HIDDEN = "***"
CREDENTIALS = re.compile(r"(?<=://)[^\s/@]*:[^\s\"']*@")  # user:password@; a password may hold an @ of its own
DSN = re.compile(r"postgres(?:ql)?://[^\s\"']*")
# The values of a connection string in either form, of a URL's query, and of the variables of AWS.
NAMED = re.compile(
    r"(\b(?:ssl)?password|\bpasswd|secret_access_key|session_token|\bsecret|\btoken)(\s*[=:]\s*)('(?:[^'\\]|\\.)*'|[^\s&,;]+)",
    re.IGNORECASE,
)


def mask(text: str) -> str:
    """The text with every password replaced; the rest of a connection string stays readable."""
    text = CREDENTIALS.sub(lambda found: f"{found[0].partition(':')[0]}:{HIDDEN}@", text)
    return NAMED.sub(rf"\1\2{HIDDEN}", text)


def scrub(text: str) -> str:
    """The text for a log: connection strings are gone altogether."""
    return mask(DSN.sub("postgresql://…", text))


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
    """A traceback of places, and of each exception in the chain what may be said."""
    before = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
    lines = [trace(before)] if before is not None else []
    lines += [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(exc.__traceback__)]
    return "\n".join([*lines, said(exc) if not isinstance(exc, PgpipeError) else f"{type(exc).__name__}: {said(exc)}"])
