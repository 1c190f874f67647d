"""What must never be printed: passwords, keys and connection strings, wherever a text holds them."""

import re

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
