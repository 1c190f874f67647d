"""Arrow types and PostgreSQL types: what a column becomes, and what fits into a column that is there."""

import re
from typing import Any

import pyarrow as pa
import pyarrow.types as at

DATE, TIME = "date", "time without time zone"
TIMESTAMP, TIMESTAMPTZ = "timestamp without time zone", "timestamp with time zone"
INTEGERS = ("smallint", "integer", "bigint")
FLOATS = ("real", "double precision")
TEXTS = {"text", "character varying", "character", "citext", "xml", "json", "jsonb", "name"}
PLAIN_TEXTS = {"text", "character varying", "citext"}  # take the text of every scalar
PARSED = {"uuid", DATE, TIMESTAMP, TIMESTAMPTZ}  # read from text without loss: ISO 8601, a zone where the type has one
VECTORS = {"vector", "halfvec"}
MADE = {"jsonb", "uuid[]", f"{TIMESTAMPTZ}[]"}  # pgpq has no form of these: their field bytes are made here
NUMERIC = re.compile(r"numeric(?:\((\d+),(-?\d+)\))?$")
DECIMAL128_DIGITS = 38
SCALARS: list[tuple[str, str]] = [  # predicates of pyarrow.types by name, first match wins
    ("is_boolean", "boolean"),
    ("is_int8", "smallint"),
    ("is_uint8", "smallint"),
    ("is_int16", "smallint"),
    ("is_uint16", "integer"),
    ("is_int32", "integer"),
    ("is_uint32", "bigint"),
    ("is_int64", "bigint"),
    ("is_uint64", "numeric(20,0)"),
    ("is_float16", "real"),
    ("is_float32", "real"),
    ("is_float64", "double precision"),
    ("is_string", "text"),
    ("is_large_string", "text"),
    ("is_string_view", "text"),
    ("is_binary", "bytea"),
    ("is_large_binary", "bytea"),
    ("is_binary_view", "bytea"),
    ("is_fixed_size_binary", "bytea"),
    ("is_date", DATE),
    ("is_time", TIME),
    ("is_duration", "interval"),
    ("is_null", "text"),
]


def storage(arrow: pa.DataType) -> pa.DataType:
    """The type under an extension type, a dictionary and runs."""
    found: pa.DataType = _storage(arrow)
    return found


def _storage(arrow: Any) -> Any:  # noqa: ANN401 - the stubs know no common class of what has a value type
    while True:
        if isinstance(arrow, pa.BaseExtensionType):
            arrow = arrow.storage_type
        elif at.is_dictionary(arrow) or at.is_run_end_encoded(arrow):
            arrow = arrow.value_type
        else:
            return arrow


def sql_type(arrow: pa.DataType) -> str | None:
    """The column type that holds every value of this Arrow type; None where there is none."""
    if isinstance(arrow, pa.UuidType):
        return "uuid"
    if isinstance(arrow, pa.JsonType):
        return "jsonb"
    if isinstance(arrow, pa.Bool8Type):
        return "boolean"
    arrow = _storage(arrow)
    for predicate, name in SCALARS:
        if getattr(at, predicate)(arrow):
            return name
    if at.is_timestamp(arrow):
        return TIMESTAMPTZ if arrow.tz else TIMESTAMP
    if at.is_decimal(arrow):
        # A negative scale counts zeros before the point: numeric(p - s, 0).
        return f"numeric({arrow.precision - min(arrow.scale, 0)},{max(arrow.scale, 0)})"
    return _nested_type(arrow) if at.is_nested(arrow) and not has_twin_fields(arrow) else None


def _nested_type(arrow: pa.DataType) -> str | None:
    if is_list(arrow):
        below = arrow.field(0).type
        element = sql_type(below)
        nested = element == "jsonb" or at.is_nested(below) or at.is_null(storage(below))
        return "jsonb" if nested else _array_of(element)
    return "jsonb" if at.is_struct(arrow) or at.is_map(arrow) else None


def is_list(arrow: pa.DataType) -> bool:
    """Whether it is a list of any kind; a map is none."""
    kinds = (at.is_list, at.is_large_list, at.is_fixed_size_list, at.is_list_view, at.is_large_list_view)
    return any(kind(arrow) for kind in kinds)


def has_twin_fields(arrow: pa.DataType) -> bool:
    """Whether a struct at any depth has two fields of one name, of which JSON would keep one."""
    arrow = storage(arrow)
    if not at.is_nested(arrow):
        return False
    fields = [arrow.field(number) for number in range(arrow.num_fields)]
    twice = at.is_struct(arrow) and len({field.name for field in fields}) < len(fields)
    return twice or any(has_twin_fields(field.type) for field in fields)


def is_text(arrow: pa.DataType) -> bool:
    """Whether its values are strings, however kept."""
    kind = storage(arrow)
    return at.is_string(kind) or at.is_large_string(kind) or at.is_string_view(kind)


def is_wide(arrow: pa.DataType) -> bool:
    """Whether it is a decimal, or a list of such, of more digits than pgpq encodes."""
    arrow = _storage(arrow)
    if is_list(arrow):
        return is_wide(arrow.field(0).type)
    return at.is_decimal(arrow) and arrow.precision > DECIMAL128_DIGITS


def _array_of(element: str | None) -> str | None:
    return f"{element}[]" if element else None


def wire_type(sql: str) -> pa.DataType | None:
    """The Arrow type whose binary COPY form is that of the column type; None where the values decide, or are made."""
    if sql in MADE or base(sql) in VECTORS:
        return None
    if sql.endswith("[]"):
        element = wire_type(sql[:-2])
        return pa.list_(element) if element is not None else None
    fixed: dict[str, pa.DataType] = {
        "boolean": pa.bool_(),
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "real": pa.float32(),
        "double precision": pa.float64(),
        "bytea": pa.binary(),
        DATE: pa.date32(),
        TIME: pa.time64("us"),
        TIMESTAMP: pa.timestamp("us"),
        TIMESTAMPTZ: pa.timestamp("us", "UTC"),
        "interval": pa.duration("us"),
        "uuid": pa.binary(16),
    }
    if sql in fixed:
        return fixed[sql]
    return pa.string() if base(sql) in TEXTS else None


def base(sql: str) -> str:
    """A type name without its modifiers: `character varying(20)` is `character varying`."""
    return re.sub(r"\(.*\)", "", sql)


def fits(sql: str, target: str) -> bool:
    """Whether every value of a column type goes into the target's column without loss.

    Text also goes into every type that is written as text; a value that such a type does not take is a bad value.
    """
    if _holds(target, sql):
        return True
    name = base(target)
    if sql == "text":
        return name in TEXTS | PARSED
    if sql.endswith("[]"):
        numbers = sql[:-2] in {*FLOATS, *INTEGERS}
        both = target.endswith("[]") and fits(sql[:-2], target[:-2]) and sql[:-2] not in NOT_IN_ARRAYS
        return both or target in {"jsonb", "json"} or (numbers and name in VECTORS)
    if name in PLAIN_TEXTS:
        return sql not in {"jsonb", "bytea", "interval"}
    return (sql, target) in EXACT


EXACT = {
    ("smallint", "real"),
    ("smallint", "double precision"),
    ("integer", "double precision"),
    ("bytea", "uuid"),  # of 16 bytes; any other length is a bad value
    ("jsonb", "json"),
    (DATE, TIMESTAMP),
}
NOT_IN_ARRAYS = {"bytea"}  # its 16 bytes make a uuid, and arrays of uuids come from uuids alone


def may_be_read_as(sql: str, declared: str) -> bool:
    """Whether a user may declare this type for a column: it fits, or each value can be checked to fit exactly."""
    numbers = {*INTEGERS, *FLOATS}
    exact = NUMERIC.match(declared)
    known = exact is None or (exact[1] is not None and int(exact[1]) <= DECIMAL128_DIGITS)
    target = declared in numbers or (exact is not None and known)
    source = sql in numbers or NUMERIC.match(sql) is not None or sql == "text"
    return fits(sql, declared) or (source and target) or (sql, declared) == ("text", "boolean")


def widened(sql: str, target: str) -> str | None:
    """The type that the target's column must become to hold both; None where none does without loss."""
    if _holds(target, sql):
        return target
    if _holds(sql, target):
        return sql
    if sql.endswith("[]") and target.endswith("[]"):
        return _array_of(widened(sql[:-2], target[:-2]))
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
