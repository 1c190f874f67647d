"""Arrow arrays of any type to arrays whose binary COPY form pgpq writes as the column type wants it."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.types as at

from pgpipe.errors import DataError
from pgpipe.load import made, types

Array = Any  # pyarrow's stubs do not know what a type check tells of an array


def converter(sql: str, arrow: pa.DataType) -> pa.DataType:
    """The Arrow type in which a column of this SQL type travels: what `convert` returns."""
    if sql in types.MADE:
        return pa.binary()
    wire = types.wire_type(sql)
    if wire is not None:
        return wire
    arrow = types.storage(arrow)
    if sql.endswith("[]"):
        return pa.list_(_decimal(types.storage(getattr(arrow, "value_type", arrow))))
    return _decimal(arrow)


def convert(array: Array, sql: str, name: str) -> Array:
    """Give the values in the form that a column of this SQL type travels in.

    A fraction of a microsecond is cut off towards the past.

    Raises:
        DataError: a value does not fit; the message names the column.
    """
    wire = converter(sql, array.type)
    try:
        if sql in types.MADE:
            return _made(array, sql)
        plain = _plain(array)
        if plain.type == wire:
            return plain
        if at.is_null(plain.type):
            return pa.array([None] * len(plain), wire)
        return _cast(_microseconds(plain), wire)
    except (pa.ArrowException, ValueError, OverflowError, KeyError) as exc:
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
    if _is_list(array.type) and isinstance(wire, pa.ListType):
        return _with_values(array, lambda values: _cast(_microseconds(_plain(values)), wire.value_type))
    if at.is_decimal(wire) and at.is_integer(array.type):
        array = array.cast(pa.decimal128(20 if at.is_uint64(array.type) else 19, 0))
    return array.cast(wire)


def _is_list(kind: pa.DataType) -> bool:
    return at.is_list(kind) or at.is_large_list(kind) or at.is_fixed_size_list(kind)


def _with_values(array: Array, change: Callable[[Array], Array]) -> Array:
    """A list array of the same shape with its elements changed."""
    if not at.is_list(array.type):
        array = array.cast(pa.list_(array.type.value_type))
    offsets = pa.array(array.offsets.to_numpy())  # those of a slice begin inside their buffer, which a mask forbids
    return pa.ListArray.from_arrays(offsets, change(array.values), mask=array.is_null() if array.null_count else None)


def _decimal(arrow: pa.DataType) -> pa.DataType:
    """A decimal with the file's scale, in as many digits as there are; the column gives the value its own scale."""
    return pa.decimal128(types.DECIMAL128_DIGITS, max(getattr(arrow, "scale", 0), 0))


def _made(array: Array, sql: str) -> Array:
    """Ready-made field bytes of a type that pgpq has no form of."""
    if sql == "jsonb":
        return made.jsonb(_nested(array))
    if sql == "uuid[]":
        return made.arrays(made.UUID, _plain(array).cast(pa.list_(pa.binary())).to_pylist())
    moments = _cast(_plain(array), pa.list_(pa.timestamp("us", "UTC"))).cast(pa.list_(pa.int64()))
    return made.arrays(
        made.TIMESTAMPTZ, [None if v is None else list(map(made.timestamp, v)) for v in moments.to_pylist()]
    )


def _nested(array: Array) -> Array:
    """With all that Python has no value for made plain, at every depth: nanoseconds, time zones."""
    if isinstance(array.type, pa.UuidType):
        return array
    array = _microseconds(_plain(array))
    kind = array.type
    nulls = array.is_null() if array.null_count else None
    if at.is_struct(kind):
        fields = [_nested(array.field(n)) for n in range(kind.num_fields)]
        return pa.StructArray.from_arrays(fields, [f.name for f in kind], mask=nulls) if fields else array
    if _is_list(kind):
        return _with_values(array, _nested)
    if at.is_map(kind):
        offsets = pa.array(array.offsets.to_numpy())
        return pa.MapArray.from_arrays(offsets, _nested(array.keys), _nested(array.items), mask=nulls)
    return array.cast(pa.timestamp("us", "UTC")) if at.is_timestamp(kind) and kind.tz else array
