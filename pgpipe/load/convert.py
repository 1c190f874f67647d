"""Arrow arrays of any type to arrays whose binary COPY form pgpq writes: the field bytes of the column type."""

import json
import math
import re
from datetime import date, datetime, time, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.types as at

from pgpipe.errors import DataError
from pgpipe.load import types

Array = Any  # pyarrow's stubs do not know what a type check tells of an array

JSONB_VERSION = b"\x01"


def converter(sql: str, arrow: pa.DataType) -> pa.DataType:
    """The Arrow type in which a column of this SQL type travels: what `convert` returns."""
    wire = types.wire_type(sql)
    if wire is not None:
        return wire
    if types.base(sql) == "numeric":
        return _decimal(sql, types.storage(arrow))
    return pa.binary()  # jsonb: ready-made field bytes


def convert(array: Array, sql: str, name: str) -> Array:
    """Give the values in the form that a column of this SQL type travels in.

    A fraction of a microsecond is cut off towards the past.

    Raises:
        DataError: a value does not fit; the message names the column.
    """
    wire = converter(sql, array.type)
    try:
        plain = _plain(array)
        if sql == "jsonb":
            return _jsonb(plain, text=at.is_string(plain.type) or at.is_large_string(plain.type))
        if plain.type == wire:
            return plain
        return _cast(_microseconds(plain), wire)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError) as exc:
        raise DataError(f"column {name!r}: {str(exc).splitlines()[0]}") from exc


def _plain(array: Array) -> Array:
    """Without extension type, dictionary and view."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if at.is_dictionary(array.type):
        array = _plain(array.dictionary_decode())
    if at.is_string_view(array.type):
        return array.cast(pa.large_string())
    if at.is_binary_view(array.type):
        return array.cast(pa.large_binary())
    return array


def _microseconds(array: Array) -> Array:
    """Nanoseconds to microseconds by floor: towards the past also before 1970."""
    kind = array.type
    if not at.is_temporal(kind) or getattr(kind, "unit", "us") != "ns":
        return array
    # numpy floors a quotient; Arrow's divide would cut it towards zero.
    whole = array.view(pa.int64()).fill_null(0).to_numpy() // 1000
    micro = pa.array(whole, mask=array.is_null().to_numpy(zero_copy_only=False))
    if at.is_timestamp(kind):
        return micro.cast(pa.timestamp("us", kind.tz))
    return micro.cast(pa.time64("us") if at.is_time(kind) else pa.duration("us"))


def _cast(array: Array, wire: pa.DataType) -> Array:
    if at.is_date64(array.type):
        array = array.cast(pa.date32(), safe=False)  # milliseconds within the day carry nothing
    if at.is_fixed_size_list(array.type) or at.is_large_list(array.type):
        array = array.cast(pa.list_(array.type.value_type))
    if at.is_list(array.type) and isinstance(wire, pa.ListType):
        values = _cast(_microseconds(_plain(array.values)), wire.value_type)
        return pa.ListArray.from_arrays(array.offsets, values, mask=array.is_null() if array.null_count else None)
    if at.is_decimal(wire) and at.is_integer(array.type):
        array = array.cast(pa.decimal128(20 if at.is_uint64(array.type) else 19, 0))
    return array.cast(wire)


def _decimal(sql: str, arrow: pa.DataType) -> pa.DataType:
    """A decimal of 38 digits with the column's scale, or with the file's where the column leaves it open."""
    match = re.search(r"\(\d+,(\d+)\)", sql)
    scale = int(match[1]) if match else max(getattr(arrow, "scale", 0), 0)
    return pa.decimal128(types.DECIMAL128_DIGITS, scale)


def _jsonb(array: Array, *, text: bool) -> Array:
    """The binary form of jsonb: a version byte, then the JSON text."""
    encode = str.encode if text else _json
    return pa.array(
        [None if v is None else JSONB_VERSION + encode(v) for v in array.to_pylist(maps_as_pydicts="strict")],
        pa.binary(),
    )


def _json(value: Any) -> bytes:  # noqa: ANN401 - whatever a column holds
    return json.dumps(_jsonable(value), ensure_ascii=False, separators=(",", ":")).encode()


def _jsonable(value: Any) -> Any:  # noqa: ANN401 - whatever a column holds
    """Only what JSON has: not-a-number becomes null, bytes hexadecimal, all else its text."""
    match value:
        case dict():
            return {str(k): _jsonable(v) for k, v in value.items()}
        case list():
            return [_jsonable(v) for v in value]
        case float():
            return value if math.isfinite(value) else None
        case None | bool() | int() | str():
            return value
        case bytes():
            return value.hex()
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case _:
            return str(value)
