"""Arrow arrays of any type to arrays whose binary COPY form pgpq writes as the column type wants it.

A value that the column type does not hold is found here, by kernels over whole columns, before a byte is sent.
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as at

from pgpipe.errors import BadValue
from pgpipe.load import fit, kinds, types
from pgpipe.load.rows import binary_fields, json_text
from pgpipe.load.rows.kernels import Array, lists, nulls, pc, types_removed

LENGTH = re.compile(r"\((\d+)\)$")
PRECISION = re.compile(r"\((\d)\)")  # of a time
DAY = 86_400_000_000  # in microseconds
NOT_FINITE = r"(?i)^[+-]?(inf|infinity|nan)$"  # the texts that stand for such a number
ZERO = r"(?i)^[+-]?[0.]+(e[+-]?[0-9]+)?$"
LIMITS: list[tuple[pa.DataType, int, int]] = [  # of PostgreSQL's calendar, in the units of the Arrow type
    (pa.date32(), -2_440_588, 2_145_042_905),  # 4714-11-24 BC to 5874897-12-31
    (pa.timestamp("us"), -210_866_803_200_000_000, 2**63 - 1),  # from 4714-11-24 BC
    (pa.timestamp("us", "UTC"), -210_866_803_200_000_000, 2**63 - 1),
    (pa.time64("us"), 0, DAY),
]


def converter(sql: str, arrow: pa.DataType) -> pa.DataType:
    """The Arrow type in which a column of this SQL type travels: what `convert` returns."""
    name = kinds.base(sql)
    if name in kinds.MADE or name in kinds.VECTORS:
        return pa.binary()
    wire = types.wire_type(sql)
    if wire is not None:
        return wire
    if not kinds.NUMERIC.match(sql.removesuffix("[]")) or types.is_wide(arrow):
        return pa.binary()  # NULLs, or ready-made field bytes
    arrow = types.storage(arrow)
    if sql.endswith("[]"):
        return pa.list_(_decimal(types.storage(getattr(arrow, "value_type", arrow)), sql[:-2]))
    return _decimal(arrow, sql)


def convert(array: Array, sql: str) -> Array:
    """Give the values in the form that a column of this SQL type travels in.

    A fraction of a microsecond is cut off towards the past.

    Raises:
        BadValue: a value does not fit.
    """
    try:
        wire = _converted(array, sql)
    except BadValue:
        raise
    except (pa.ArrowException, ValueError, OverflowError, KeyError) as exc:
        kind = "a value" if at.is_nested(array.type) else f"a value of {types.storage(array.type)}"
        raise BadValue(f"{kind} that {sql} does not hold") from exc
    _check(wire, sql)
    return wire


def _converted(array: Array, sql: str) -> Array:
    wire = converter(sql, array.type)
    if at.is_null(array.type):
        return nulls(len(array), wire)
    if sql in {"jsonb", "json"}:
        return _json(array, sql)
    if wire == pa.binary() and sql != "bytea":
        return _made(types_removed(array), sql)
    if at.is_string(wire):
        return json_text.plain_text(array).cast(wire)
    plain = types_removed(array)
    if at.is_large_string(plain.type):
        plain = plain.cast(pa.string())
    return plain if plain.type == wire else _cast(_microseconds(plain), wire)


def _json(array: Array, sql: str) -> Array:
    """Text is taken for JSON that is written already; a list of texts is not."""
    if types.is_text(array.type):
        text = types_removed(array).cast(pa.string())
    else:
        text = pc.if_else(array.is_valid(), json_text.json_text(array), None)
    if sql == "json":
        return text
    return pc.binary_join_element_wise("\x01", text, "").cast(pa.binary())  # the version of the binary form


def _made(array: Array, sql: str) -> Array:
    """Ready-made field bytes of a type that pgpq has no form of."""
    if kinds.base(sql) in kinds.VECTORS:
        return _vectors(array, sql)
    if sql == "uuid[]":
        uuids = _cast(types_removed(array.flatten()), pa.binary(16))
        return binary_fields.arrays(binary_fields.UUID, array, binary_fields.fixed(uuids))
    if kinds.base(sql).startswith(kinds.TIMESTAMPTZ):
        instants = _cast(_microseconds(types_removed(array.flatten())), pa.timestamp("us", "UTC"))
        _check(instants, sql.removesuffix("[]"))
        return binary_fields.arrays(binary_fields.TIMESTAMPTZ, array, binary_fields.moments(instants.cast(pa.int64())))
    if sql.endswith("[]"):
        return binary_fields.arrays(
            binary_fields.NUMERIC, array, binary_fields.numerics(types_removed(array.flatten()))
        )
    return binary_fields.field(binary_fields.numerics(array), array.is_null().to_numpy(zero_copy_only=False))


def _vectors(array: Array, sql: str) -> Array:
    declared = LENGTH.search(sql)
    lengths = pc.list_value_length(array).drop_null()
    if declared and not pc.all(pc.equal(lengths, int(declared[1])), min_count=0).as_py():
        raise BadValue(f"a list that has not {declared[1]} elements, as {sql} has")
    if pc.any(pc.equal(lengths, 0)).as_py():
        raise BadValue("an empty list, and a vector has at least one dimension")
    return binary_fields.vectors(array, half=sql.startswith("halfvec"))


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
    kind = array.type
    if at.is_date64(kind):
        array = array.cast(pa.date32(), safe=False)  # milliseconds within the day carry nothing
    if types.is_list(kind) and isinstance(wire, pa.ListType):
        if at.is_string(wire.value_type):
            return _with_values(array, lambda values: json_text.plain_text(values).cast(pa.string()))
        return _with_values(array, lambda values: _cast(_microseconds(types_removed(values)), wire.value_type))
    if at.is_decimal(wire):
        return _exact(array, wire)
    if at.is_string(kind) or at.is_large_string(kind):
        return _parsed(array.cast(pa.string()), wire)
    if at.is_decimal(kind) and at.is_floating(wire):
        return _same(array, array.cast(pa.string()).cast(wire))  # Arrow's own cast misses the nearest float
    if at.is_floating(wire) and kind == pa.float64():
        return _same(array, array.cast(wire))  # integers are checked by the cast
    return array.cast(wire)


def _parsed(text: Array, wire: pa.DataType) -> Array:
    """Values from their texts; what Arrow reads as something that PostgreSQL does not is refused."""
    if wire == pa.binary(16):
        return json_text.uuid_of_text(text)
    values = text.cast(wire)
    if at.is_floating(wire):
        _refuse(pc.invert(pc.is_finite(values)), text, NOT_FINITE, f"a number that is out of the range of {wire}")
        _refuse(pc.equal(values, 0), text, ZERO, f"a number that is too small for {wire}")
    elif at.is_integer(wire):  # Arrow takes 0xFFFFFFFF for -1
        _refuse(pc.match_substring(text, "x", ignore_case=True), text, "^$", "a number that is not decimal")
    elif at.is_date(wire) or at.is_timestamp(wire):
        _refuse(pc.starts_with(text, "0000"), text, "^$", "the year 0000, which PostgreSQL's calendar lacks")
    return values


def _refuse(suspects: Array, text: Array, allowed: str, reason: str) -> None:
    """Refuse texts among the suspects that do not match the pattern."""
    if pc.any(suspects).as_py() and not pc.all(pc.match_substring_regex(text.filter(suspects), allowed)).as_py():
        raise BadValue(reason)


def _exact(array: Array, wire: pa.DataType) -> Array:
    if _holds_as_it_is(array.type, wire):
        return array.view(wire)  # the bytes are the same
    if at.is_integer(array.type):
        array = array.cast(pa.decimal128(20 if at.is_uint64(array.type) else 19, 0))
    if at.is_floating(array.type):
        return array.cast(pa.string()).cast(wire)  # as many digits as tell it from every other; none may be lost
    return array.cast(wire)


def _holds_as_it_is(kind: Any, wire: Any) -> bool:  # noqa: ANN401 - the stubs know no class of decimals
    """Whether each value of a decimal is one of another, written alike."""
    return at.is_decimal128(kind) and kind.scale == wire.scale and kind.precision <= wire.precision


def _same(array: Array, changed: Array) -> Array:
    """Refuse what a change of type has rounded."""
    back = changed.cast(array.type)
    unlike = pc.and_(pc.not_equal(back, array), pc.equal(array, array))  # not-a-number is like nothing, and is kept
    if pc.any(unlike).as_py():
        raise BadValue(f"a value of {array.type} that {changed.type} would round")
    return changed


def _with_values(array: Array, change: Callable[[Array], Array]) -> Array:
    """A list array of the same shape with its elements changed."""
    return lists(array, change(array.flatten()))


def _decimal(arrow: pa.DataType, sql: str) -> pa.DataType:
    """A decimal with the file's scale, in as many digits as there are; the column gives the value its own scale.

    Where the column has less room than the file's type, each value has to fit: the type is the column's.
    """
    natural = None if at.is_null(arrow) else types.sql_type(arrow)
    declared = kinds.NUMERIC.match(sql)
    if natural and declared and declared[1] and not fit.fits(natural, sql):
        return pa.decimal128(int(declared[1]), int(declared[2]))
    return pa.decimal128(kinds.DECIMAL128_DIGITS, max(getattr(arrow, "scale", 0), 0))


def _check(wire: Array, sql: str) -> None:
    """Refuse what the Arrow type holds and PostgreSQL's does not."""
    if at.is_list(wire.type):
        _check(wire.flatten(), sql.removesuffix("[]"))
    elif at.is_string(wire.type):
        _check_text(wire.drop_null() if wire.null_count else wire, sql)
    for kind, low, high in LIMITS:
        if wire.type == kind:
            ends = pc.min_max(wire.view(pa.int32() if kind == pa.date32() else pa.int64()))
            if ends["min"].is_valid and not low <= ends["min"].as_py() <= ends["max"].as_py() <= high:
                raise BadValue(f"out of the range of PostgreSQL's {sql}")
    precise = PRECISION.search(sql) if at.is_temporal(wire.type) else None
    if precise:
        _check_digits(wire.cast(pa.int64()), int(precise[1]), sql)


def _check_digits(micro: Array, digits: int, sql: str) -> None:
    """Refuse a fraction of a second that the type would round."""
    whole = micro.drop_null().to_numpy()
    if (whole % 10 ** (6 - digits)).any():
        raise BadValue(f"a fraction of a second of more than the {digits} digits of {sql}")


def _check_text(text: Array, sql: str) -> None:
    try:
        text.validate(full=True)
    except pa.ArrowInvalid as exc:
        raise BadValue("bytes that are not UTF-8") from exc
    offsets = np.frombuffer(text.buffers()[1] or bytes(4), np.int32)
    start, end = offsets[text.offset], offsets[text.offset + len(text)]
    if end > start and not np.frombuffer(text.buffers()[2], np.uint8)[start:end].min():
        raise BadValue("a NUL character, which PostgreSQL's text cannot hold")
    longest = LENGTH.search(sql)
    if longest and kinds.base(sql) in {"character", "character varying"}:
        most = pc.max(pc.utf8_length(text)).as_py()
        if most is not None and most > int(longest[1]):
            raise BadValue(f"a text longer than the {longest[1]} characters of {sql}")
