"""Databases that are not UTF8: which encodings pgpipe supports, and what they can hold."""

import codecs
import unicodedata
from typing import Any

import psycopg

from pgpipe.errors import UsageError

SINGLE_BYTE = {  # the server's encoding, and Python's name of it
    **{
        f"LATIN{n}": f"iso8859-{part}"
        for n, part in zip(range(1, 11), (1, 2, 3, 4, 9, 10, 13, 14, 15, 16), strict=True)
    },
    **{f"ISO_8859_{n}": f"iso8859-{n}" for n in range(5, 9)},
    **{f"WIN{n}": f"cp{n}" for n in (866, 874, *range(1250, 1259))},
    "KOI8R": "koi8-r",
    "KOI8U": "koi8-u",
}
MARKED, LEFT_OUT = "pgpipe.marked", "pgpipe.left_out"  # what becomes of a character that is not in the encoding


def _marked(exc: UnicodeError) -> tuple[str, int]:
    assert isinstance(exc, UnicodeEncodeError)
    return "".join(f"<{lacking(char)}>" for char in exc.object[exc.start : exc.end]), exc.end


def _left_out(exc: UnicodeError) -> tuple[str, int]:
    assert isinstance(exc, UnicodeEncodeError)
    return " ", exc.end


codecs.register_error(MARKED, _marked)
codecs.register_error(LEFT_OUT, _left_out)


def lacking(char: str) -> str:
    """How messages name a character."""
    return f"U+{ord(char):04X}"


def codec(conn: psycopg.BaseConnection[Any]) -> str | None:
    """Python's name of what the database can hold; None for UTF8, which holds all."""
    return SINGLE_BYTE.get(conn.info.parameter_status("server_encoding") or "")


def storable(conn: psycopg.BaseConnection[Any], text: str, lost: str = MARKED) -> str:
    """The text as the database can hold it."""
    known = codec(conn)
    return text if known is None else text.encode(known, lost).decode(known)


def require_encoding(conn: psycopg.Connection[Any]) -> None:
    """Check that texts mean in this database what they mean to pgpipe.

    Raises:
        UsageError: it is neither UTF8 nor of one byte a character.
    """
    found = conn.info.parameter_status("server_encoding") or ""
    if found != "UTF8" and found not in SINGLE_BYTE:
        why = (
            "it stores bytes without knowing which characters they are"
            if found == "SQL_ASCII"
            else "pgpipe finds words in scripts without blanks by their Unicode numbers"
        )
        raise UsageError(
            f"the encoding of this database is {found}, where pgpipe does not work: {why}; use a database that was made"
            " with `create database … encoding 'UTF8' template template0`"
        )


def as_ascii(text: str) -> str:
    """Our SQL in ASCII: typography occurs only in comments and messages."""
    plain = unicodedata.normalize("NFKD", text.replace("·", "*"))
    return plain.encode("ascii", "ignore").decode()
