"""Which column types hold which others: what fits, what can be checked to fit, and what must be widened."""

from collections.abc import Sequence

from pgpipe.load.kinds import (
    DATE,
    DECIMAL128_DIGITS,
    FLOATS,
    INTEGERS,
    NUMERIC,
    PRECISE,
    TEXTS,
    TIMESTAMP,
    TIMESTAMPTZ,
    VECTORS,
    Hollow,
    Kind,
    array_of,
    base,
)

PLAIN_TEXTS = {"text", "character varying", "citext"}  # take the text of every scalar
PARSED = {"uuid", DATE, TIMESTAMP, TIMESTAMPTZ}  # read from text without loss: ISO 8601, a zone where the type has one
WELL_KNOWN = {"geometry", "geography"}  # PostGIS reads well-known binary, as GeoParquet has it
DECLARED_ONLY = {"boolean", "bytea", *INTEGERS, *FLOATS}  # a text is read as one only if the user says so
FOREIGN = {f"{name}[]" for name in TEXTS - {"text"}}  # arrays whose elements pgpq does not name as they are


def accepts(kind: Kind, sql: str, empty: Hollow = "") -> bool:
    """Whether the files' type goes into a column without loss, or each value can be checked to."""
    if empty:
        lists = kind.base.endswith("[]") or base(kind.base) in {"jsonb", "json", *VECTORS}
        return empty == "null" or lists
    return fits(sql, kind.base) or (bool(kind.reads) and is_read(sql, kind.base))


def is_read(sql: str, target: str) -> bool:
    """Whether values of the files become the column's by the input function of its type."""
    if sql.endswith("[]") and target.endswith("[]"):
        return is_read(sql[:-2], target[:-2])
    name = base(target)
    if sql == "bytea":
        return name in WELL_KNOWN
    known = TEXTS | PARSED | DECLARED_ONLY
    return sql == "text" and name not in known and not name.endswith("[]") and not NUMERIC.match(target)


def is_stated(kind: Kind) -> bool:
    """Whether the binary form of an array must state a type of elements that pgpq does not state."""
    return kind.element != 0 and (base(kind.base) in FOREIGN or (kind.base == "text[]" and kind.type != kind.base))


def fits(sql: str, target: str) -> bool:
    """Whether every value of a column type goes into the target's column without loss, or can be checked to.

    Text also goes into every type that is written as text; a value that such a type does not take is a bad value.
    """
    name = base(target)
    if _holds(target, sql) or (sql == name and name in PRECISE):
        return True
    if sql == "text":
        return name in TEXTS | PARSED
    if sql.endswith("[]"):
        numbers = sql[:-2] in {*FLOATS, *INTEGERS}
        both = target.endswith("[]") and fits(sql[:-2], target[:-2]) and sql[:-2] not in NOT_IN_ARRAYS
        return both or target in {"jsonb", "json"} or (numbers and name in VECTORS)
    if name in PLAIN_TEXTS:
        return sql not in {"jsonb", "bytea", "interval"}
    return (sql, name) in EXACT


EXACT = {
    ("smallint", "real"),
    ("smallint", "double precision"),
    ("integer", "double precision"),
    ("bytea", "uuid"),  # of 16 bytes; any other length is a bad value
    ("jsonb", "json"),
    (DATE, TIMESTAMP),
}
NOT_IN_ARRAYS = {"bytea"}  # its 16 bytes make a uuid, and arrays of uuids come from uuids alone


def may_be_read_as(sql: str, kind: Kind) -> bool:
    """Whether a user may declare this type for a column: it fits, or each value can be checked to fit exactly."""
    numbers = {*INTEGERS, *FLOATS}
    declared = kind.base
    exact = NUMERIC.match(declared)
    known = exact is None or (exact[1] is not None and int(exact[1]) <= DECIMAL128_DIGITS)
    target = declared in numbers or (exact is not None and known)
    source = sql in numbers or NUMERIC.match(sql) is not None or sql == "text"
    return accepts(kind, sql) or (source and target) or (sql, declared) == ("text", "boolean")


def wide_enough(sqls: Sequence[str], target: str) -> str | None:
    """The type that a column must become to hold the target's values and all of these; None if none does."""
    for sql in sqls:
        if not fits(sql, target):
            wide = widened(sql, target)
            if wide is None:
                return None
            target = wide
    return target


def widened(sql: str, target: str) -> str | None:
    """The type that the target's column must become to hold both; None where none does without loss."""
    if _holds(target, sql):
        return target
    if _holds(sql, target):
        return sql
    if sql.endswith("[]") and target.endswith("[]"):
        return array_of(widened(sql[:-2], target[:-2]))
    digits, room = _digits(sql), _digits(target)
    if digits and room:
        scale = max(digits[1], room[1])
        return f"numeric({int(max(digits[0], room[0]) + scale)},{int(scale)})"
    return None


def _holds(wide: str, narrow: str) -> bool:
    """Whether the type, or the array, is the same or a wider number."""
    if wide == narrow:
        return True
    if wide.endswith("[]") and narrow.endswith("[]"):
        return _holds(wide[:-2], narrow[:-2])
    for order in (INTEGERS, FLOATS):
        if wide in order and narrow in order:
            return order.index(narrow) <= order.index(wide)
    digits, room = _digits(narrow), _digits(wide)
    if wide in INTEGERS and room:
        room = room[0] - 1, 0  # not every number of as many digits goes into it
    return digits is not None and room is not None and digits[0] <= room[0] and digits[1] <= room[1]


def _digits(sql: str) -> tuple[float, float] | None:
    """Digits before and behind the point of an exact number type; without modifiers, numeric has room for all."""
    if sql in INTEGERS:
        return {"smallint": 5, "integer": 10, "bigint": 19}[sql], 0
    match = NUMERIC.match(sql)
    if not match:
        return None
    if match[1] is None:
        return float("inf"), float("inf")
    precision, scale = int(match[1]), int(match[2])
    return precision - scale, scale
