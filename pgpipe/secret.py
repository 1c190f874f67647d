"""What in a text is secret: passwords, keys and signatures of URLs and connection strings. The one place that masks."""

import re
from urllib.parse import unquote

HIDDEN = "***"
# user:password@; either may contain an @, and a password a blank, unless a port stands there.
USER, USER_OF_ALONE = re.compile(r"(?<=://)[^\s/:]*:"), re.compile(r"(?<=://)[^/:]*:")
PORT = re.compile(r"\d++(?:[/?\s]|$)")
BLANK = re.compile(r"\s|$")
USER_ALONE = re.compile(r"((?:https?|davs?)://)[^\s/@:?#]+@", re.IGNORECASE)  # of a service: a token
HEADER = re.compile(
    r"""(\bauthorization["']?\s*[=:]\s*["']?(?:(?:bearer|basic|token)\s+)?|\bbearer\s+)[^\s"',;&]+""", re.IGNORECASE
)
OURS = re.compile(r"\b(pgpipe_[a-z0-9]{8}_)[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])", re.ASCII)  # tokens of the search API
DSN = re.compile(r"postgres(?:ql)?://\S*")
# Settings of libpq, variables of AWS, parameters of signed URLs (S3, Google, Azure) and of services.
NAME = re.compile(
    r"(?:password|passwd|passphrase|passcode|secret|token|signature|credentials?"
    r"|(?:api|access|account|client|shared|secret|private|signing|hash)[_-]?key(?:[_-]?id)?)$",
    re.IGNORECASE,
)
SHORT_NAME = re.compile(r"(?:(?:^|[_.-])(?:pass|pwd|pw|sig|sas|jwt)|^options)$", re.IGNORECASE)  # also words of prose
QUERY_NAME = re.compile(r"(?:auth|code|key)$", re.IGNORECASE)  # secret in a query, where services ask for them
# Only from the start of a word: from each of its letters, the work would grow with the square of its length.
GIVEN = re.compile(r"""(?<![\w%.-])([\w%.-]++)(["']?\s*+[=:]\s*+)""")
# To the next parameter of a URL, or to the end of a value of a connection string, quoted or not.
PARAMETER, PARAMETER_ALONE = re.compile(r"[^\s&]*"), re.compile(r"[^&]*")
VALUE = re.compile(r"""'(?:[^'\\]|\\.)*(?:'|$)|"(?:[^"\\]|\\.)*(?:"|$)|(?:\\.|\S)+""", re.DOTALL)
WITHOUT_USERS = {"file", "s3"}  # our schemes: an @ or a ? in an address is part of a name
CONTAINERS = {"abfs", "abfss", "wasb", "wasbs"}  # what stands before the @ is a folder


def mask(text: str, *, alone: bool = False) -> str:
    """The text with every secret replaced; the rest of a URL or a connection string stays readable.

    Args:
        text: of any kind.
        alone: the whole text is one URL or connection string, in which a secret may hold blanks.
    """
    text = _without_passwords(text, alone=alone)
    text = OURS.sub(rf"\1{HIDDEN}", text)
    text = HEADER.sub(rf"\1{HIDDEN}", USER_ALONE.sub(rf"\1{HIDDEN}@", text))
    parts, done = [], 0
    for given in GIVEN.finditer(text):
        in_query = text[max(given.start() - 1, 0) : given.start()] in {"?", "&"}
        if given.start() < done or not _is_secret(given[1], by_equals="=" in given[2], in_query=in_query):
            continue
        if in_query:
            value = (PARAMETER_ALONE if alone else PARAMETER).match(text, given.end())
        else:
            value = VALUE.match(text, given.end())
        if value and value[0]:
            parts += [text[done : given.end()], HIDDEN]
            done = value.end()
    return "".join([*parts, text[done:]])


def scrub(text: str) -> str:
    """The text for a log: connection strings are gone altogether."""
    return DSN.sub("postgresql://…", mask(text))


def address(url: str) -> str:
    """An address as it may be stored: without a user and password, and without a query that signs it.

    It is the same whatever the password is, and however often the address is signed.
    """
    scheme, there, rest = url.partition("://")
    if not there or scheme in WITHOUT_USERS:
        return url
    authority, slash, below = rest.partition("/")
    user, at, host = authority.rpartition("@")
    port = authority.partition(":")[2]
    if at and not (scheme in CONTAINERS and ":" not in user):
        rest = host + slash + below
    elif not at and port and not port.isdigit() and "@" in below:  # the password holds a slash
        rest = below.rpartition("@")[2]
    path, asked, query = rest.partition("?")
    names = [pair.partition("=")[0] for pair in query.replace(";", "&").split("&")]
    signed = any(_is_secret(name, by_equals=True, in_query=True) for name in names)
    return f"{scheme}://{path}" if signed else f"{scheme}://{path}{asked}{query}"


def _without_passwords(text: str, *, alone: bool) -> str:
    """The text with each password of user:password@ replaced; every @, blank and end of line is looked up once."""
    parts, done, blank, last, at, line = [], 0, -1, text.rfind("@"), -1, -1
    for user in (USER_OF_ALONE if alone else USER).finditer(text):
        start = user.end()
        if user.start() < done:
            continue
        if not alone and start > blank:
            blank = _end(BLANK, text, start)
            last = text.rfind("@", start, blank)
        end = last
        if end < start and not alone and not PORT.match(text, start):
            if at < start:
                at = text.find("@", start) if at != len(text) else at
                at = len(text) if at < 0 else at
            if line < start:
                line = text.find("\n", start)
                line = len(text) if line < 0 else line
            end = at if at < line else -1
        if end >= start:
            parts += [text[done:start], f"{HIDDEN}@"]
            done = end + 1
    return "".join([*parts, text[done:]])


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.search(text, start)
    return found.start() if found else len(text)


def _is_secret(name: str, *, by_equals: bool, in_query: bool) -> bool:
    name = unquote(name)
    found = NAME.search(name) or (by_equals and SHORT_NAME.search(name)) or (in_query and QUERY_NAME.search(name))
    return bool(found)
