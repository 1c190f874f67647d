"""Arrow types and PostgreSQL types: what a column becomes, and in which form its values travel."""

from typing import Any

import pyarrow as pa
import pyarrow.types as at

from pgpipe.load.kinds import (
    DATE,
    DECIMAL128_DIGITS,
    MADE,
    TEXTS,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    VECTORS,
    Hollow,
    array_of,
    base,
)

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
        return "jsonb" if nested else array_of(element)
    return "jsonb" if at.is_struct(arrow) or at.is_map(arrow) else None


def hollow(arrow: pa.DataType) -> Hollow:
    """Whether a column of this type has no value that could tell what its type is."""
    arrow = storage(arrow)
    if at.is_null(arrow):
        return "null"
    return "list" if is_list(arrow) and at.is_null(storage(arrow.field(0).type)) else ""


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


def wire_type(sql: str) -> pa.DataType | None:
    """The Arrow type whose binary COPY form is that of the column type; None where the values decide, or are made."""
    name = base(sql)
    if name in MADE or name in VECTORS:
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
    return fixed.get(name, pa.string() if name in TEXTS else None)
