"""Arrow types and PostgreSQL types: what a column becomes, and what fits into a column that is there."""

import re

import pyarrow as pa
import pyarrow.types as at

INTEGERS = ("smallint", "integer", "bigint")
FLOATS = ("real", "double precision")
TEXTS = {"text", "character varying", "character", "citext", "xml", "json", "jsonb", "name"}
MADE = {"jsonb", "uuid[]", "timestamp with time zone[]"}  # pgpq has no form of these: their field bytes are made here
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
    ("is_date", "date"),
    ("is_time", "time without time zone"),
    ("is_duration", "interval"),
    ("is_null", "text"),
]


def storage(arrow: pa.DataType) -> pa.DataType:
    """The type under an extension type and a dictionary."""
    while True:
        if isinstance(arrow, pa.BaseExtensionType):
            arrow = arrow.storage_type
        elif at.is_dictionary(arrow):
            arrow = arrow.value_type
        else:
            return arrow


def sql_type(arrow: pa.DataType) -> str | None:
    """The column type that holds every value of this Arrow type; None where there is none."""
    if isinstance(arrow, pa.UuidType):
        return "uuid"
    if isinstance(arrow, pa.JsonType):
        return "jsonb"
    arrow = storage(arrow)
    for predicate, name in SCALARS:
        if getattr(at, predicate)(arrow):
            return name
    if at.is_timestamp(arrow):
        return "timestamp with time zone" if arrow.tz else "timestamp without time zone"
    if at.is_decimal(arrow):
        if arrow.precision > DECIMAL128_DIGITS:
            return None
        # A negative scale counts zeros before the point: numeric(p - s, 0).
        return f"numeric({arrow.precision - min(arrow.scale, 0)},{max(arrow.scale, 0)})"
    if at.is_list(arrow) or at.is_large_list(arrow) or at.is_fixed_size_list(arrow):
        element = sql_type(arrow.value_type)
        nested = element == "jsonb" or at.is_nested(arrow.value_type) or at.is_null(storage(arrow.value_type))
        return "jsonb" if nested else _array_of(element)
    if at.is_struct(arrow) or at.is_map(arrow):
        return "jsonb"
    return None


def _array_of(element: str | None) -> str | None:
    return f"{element}[]" if element else None


def wire_type(sql: str) -> pa.DataType | None:
    """The Arrow type whose binary COPY form is that of the column type; None where the values decide, or are made."""
    if sql in MADE:
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
        "date": pa.date32(),
        "time without time zone": pa.time64("us"),
        "timestamp without time zone": pa.timestamp("us"),
        "timestamp with time zone": pa.timestamp("us", "UTC"),
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

    Text goes into every type that is written as text; a value that such a type refuses is an error of the load.
    """
    return _holds(target, sql) or (sql == "text" and base(target) in TEXTS)


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
