"""Types of columns, as the database knows them, and their names."""

import re
from dataclasses import dataclass
from typing import Literal

DATE, TIME = "date", "time without time zone"
TIMESTAMP, TIMESTAMPTZ = "timestamp without time zone", "timestamp with time zone"
INTEGERS = ("smallint", "integer", "bigint")
FLOATS = ("real", "double precision")
TEXTS = {"text", "character varying", "character", "citext", "xml", "json", "jsonb", "name"}
PRECISE = {
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    "interval",
}  # may keep fewer digits of a second than the files have
VECTORS = {"vector", "halfvec"}
MADE = {"jsonb", "uuid[]", f"{TIMESTAMPTZ}[]"}  # pgpq has no form of these: their field bytes are made here
NUMERIC = re.compile(r"numeric(?:\((\d+),(-?\d+)\))?$")
DECIMAL128_DIGITS = 38

Hollow = Literal["", "null", "list"]  # no value at all, or only lists of such


@dataclass(frozen=True)
class Kind:
    """A column type, as the database knows it."""

    type: str
    base: str  # in which its values are sent: under a domain, for an enum
    labels: tuple[str, ...] = ()  # of an enum
    element: int = 0  # the oid of the elements' type, of an array
    reads: str = ""  # the type, or that of the elements, whose input function can read texts


def array_of(element: str | None) -> str | None:
    """The array type of these elements."""
    return f"{element}[]" if element else None


def base(sql: str) -> str:
    """A type name without its modifiers: `character varying(20)` is `character varying`."""
    return re.sub(r"\(.*\)", "", sql)
