r"""Nested values as JSON text, by Arrow kernels over whole columns.

What JSON lacks: not-a-number and the infinities become null, bytes `\x` and hexadecimal, a duration its seconds, dates
and times their ISO text. A number keeps all its digits.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as at

from pgpipe.errors import BadValue
from pgpipe.load import types
from pgpipe.load.rows.kernels import Array, binary, lists, nulls, pc, types_removed

ESCAPES = {0x5C: "\\\\", 0x22: '\\"', 0x08: "\\b", 0x09: "\\t", 0x0A: "\\n", 0x0C: "\\f", 0x0D: "\\r"}
HEX = np.frombuffer(b"".join(b"%02x" % n for n in range(256)), "<u2")
UNHEX = np.full(256, 0xFF, np.uint8)
UNHEX[[ord(c) for c in "0123456789abcdefABCDEF"]] = [int(c, 16) for c in "0123456789abcdefABCDEF"]


def json_text(array: Array) -> Array:
    """JSON text for each value, strings without NULL: an absent value is `null`.

    Raises:
        BadValue: a map has a key twice, of which JSON would keep one, or a date is beyond what its text can say.
    """
    return _value(array).fill_null("null")


def plain_text(array: Array) -> Array:
    """The text of each scalar, as PostgreSQL reads it back; NULL stays NULL."""
    if isinstance(array.type, pa.UuidType):
        return _uuid(array.storage)
    array = types_removed(array)
    return array.cast(pa.string())


def _value(array: Array) -> Array:
    if isinstance(array.type, pa.UuidType):
        return _joined('"', _uuid(array.storage), '"')
    if isinstance(array.type, pa.JsonType):
        return array.storage.cast(pa.string())
    array = types_removed(array)
    kind = array.type
    if at.is_struct(kind):
        return _struct(array)
    if at.is_map(kind):
        return _map(array)
    if types.is_list(kind):
        return _brackets("[", json_text(array.flatten()), "]", array)
    if at.is_string(kind) or at.is_large_string(kind):
        return _quoted(array.cast(pa.string()))
    if at.is_binary(kind) or at.is_large_binary(kind) or at.is_fixed_size_binary(kind):
        return _joined('"\\\\x', hexadecimal(array.cast(pa.binary())), '"')
    return _scalar(array)


def _scalar(array: Array) -> Array:
    kind = array.type
    if at.is_null(kind):
        return nulls(len(array), pa.string())
    if at.is_floating(kind):
        wide = array.cast(pa.float32()) if at.is_float16(kind) else array
        return pc.if_else(pc.is_finite(wide), wide.cast(pa.string()), None)
    if at.is_duration(kind):
        digits = {"s": 0, "ms": 3, "us": 6, "ns": 9}[kind.unit]
        seconds = array.cast(pa.int64()).cast(pa.decimal128(19, 0)).view(pa.decimal128(19, digits))
        return seconds.cast(pa.string())
    if at.is_boolean(kind) or at.is_integer(kind) or at.is_decimal(kind):
        return array.cast(pa.string())
    text = array.cast(pa.timestamp(kind.unit, "UTC") if at.is_timestamp(kind) and kind.tz else kind).cast(pa.string())
    if pc.any(pc.match_substring(text, "<value out of range")).as_py():
        raise BadValue("a date or time that has no text in ISO 8601")
    return _joined('"', pc.replace_substring(text, " ", "T") if at.is_timestamp(kind) else text, '"')


def _struct(array: Array) -> Array:
    if not array.type.num_fields:
        return pc.if_else(array.is_valid(), "{}", None)
    parts: list[Any] = []
    for number, field in enumerate(array.type):
        name = _quoted(pa.array([field.name]))[0].as_py()
        parts += [f"{',' if number else '{'}{name}:", json_text(array.field(number))]
    return pc.if_else(array.is_valid(), _joined(*parts, "}"), None)


def _map(array: Array) -> Array:
    listed = array.cast(pa.list_(pa.struct([array.type.key_field.with_nullable(True), array.type.item_field])))
    entries = listed.flatten()
    keys = json_text(entries.field(0))
    _refuse_twice(listed, keys)
    kind = types.storage(array.type.key_type)
    if at.is_nested(kind):
        keys = _quoted(keys)
    elif at.is_boolean(kind) or at.is_integer(kind) or at.is_floating(kind) or at.is_decimal(kind):
        keys = _joined('"', keys, '"')
    return _brackets("{", _joined(keys, ":", json_text(entries.field(1))), "}", listed)


def _refuse_twice(listed: Array, keys: Array) -> None:
    owners = np.repeat(np.arange(len(listed)), pc.list_value_length(listed).fill_null(0).to_numpy())
    codes = keys.dictionary_encode().indices.to_numpy()
    if len(np.unique(owners * (len(keys) + 1) + codes)) < len(keys):
        raise BadValue("a map that has a key twice, of which JSON would keep one")


def _brackets(opening: str, elements: Array, closing: str, listed: Array) -> Array:
    """The elements of each list, joined by commas."""
    return _joined(opening, pc.binary_join(lists(listed, elements), ","), closing)


def _quoted(array: Array) -> Array:
    data = array.buffers()[2]
    present = np.unique(np.frombuffer(data, np.uint8)) if data is not None and data.size else ()
    for code in sorted((int(c) for c in present if c < 0x20 or c in {0x22, 0x5C}), key=lambda c: c != 0x5C):  # noqa: PLR2004 - a blank
        array = pc.replace_substring(array, chr(code), ESCAPES.get(code, f"\\u{code:04x}"))
    return _joined('"', array, '"')


def _joined(*parts: Any) -> Array:  # noqa: ANN401 - arrays and constants
    return pc.binary_join_element_wise(*(pa.scalar(p, pa.string()) if isinstance(p, str) else p for p in parts), "")


def hexadecimal(array: Array) -> Array:
    """Lower-case hexadecimal text of binary values."""
    offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(array.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    return binary(2 * (offsets - offsets[0]), HEX[data], array.is_null().to_numpy(zero_copy_only=False), pa.string())


def _uuid(array: Array) -> Array:
    text = hexadecimal(array.cast(pa.binary()))
    parts = [pc.utf8_slice_codeunits(text, a, b) for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))]
    return pc.binary_join_element_wise(*parts, "-")


def uuid_of_text(array: Array) -> Array:
    """The 16 bytes of each uuid, written with or without hyphens and braces.

    Raises:
        BadValue: a text is none.
    """
    digits = pc.replace_substring_regex(pc.fill_null(array, "0" * 32), "[-{}]", "").cast(pa.binary())
    if not pc.all(pc.equal(pc.binary_length(digits), 32), min_count=0).as_py():
        raise BadValue("a text that is not a valid uuid")
    codes = np.frombuffer(b"".join(digits.to_pylist()), np.uint8)
    halves = UNHEX[codes].reshape(-1, 2)
    if halves.size and halves.max() > 0xF:  # noqa: PLR2004 - what is not a digit
        raise BadValue("a text that is not a valid uuid")
    whole: Any = (halves[:, 0] << 4 | halves[:, 1]).astype(np.uint8)
    valid = pa.array(array.is_valid()).buffers()[1] if array.null_count else None
    return pa.Array.from_buffers(pa.binary(16), len(array), [valid, pa.py_buffer(whole)])
