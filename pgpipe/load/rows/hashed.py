"""Keyed hashes in the place of values: equal values give equal texts, and nobody can try values without the key."""

import hmac
import uuid
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.types as at

from pgpipe.load import types
from pgpipe.load.rows.kernels import Array, nulls, pc, types_removed


def may_be_hashed(kind: pa.DataType) -> bool:
    """Whether values of a type have one text only, whatever the file's writer chose."""
    plain = _plain(kind)
    known = types.is_text(plain) or at.is_integer(plain) or at.is_boolean(plain) or at.is_date(plain)
    return known or at.is_null(plain) or at.is_binary(plain) or at.is_large_binary(plain) or at.is_binary_view(plain)


def hashed(array: Array, secret: bytes) -> Array:
    """HMAC-SHA256 of each value's text in UTF-8, or of its bytes, in hexadecimal digits; NULL stays NULL."""
    if at.is_null(array.type):
        return nulls(len(array), pa.string())
    as_bytes = _reader(array.type)
    coded = pc.dictionary_encode(types_removed(array))  # equal values are hashed once
    found = [hmac.digest(secret, as_bytes(value), "sha256").hex() for value in _values(coded.dictionary)]
    return pa.array(found, pa.string()).take(coded.indices)


def _plain(kind: pa.DataType) -> pa.DataType:
    kind = types.storage(kind) if not isinstance(kind, pa.UuidType) else pa.binary()
    if at.is_dictionary(kind) or at.is_run_end_encoded(kind):
        return _plain(kind.value_type)
    return kind


def _values(dictionary: Array) -> list[Any]:
    if types.is_text(dictionary.type):  # bytes that are not UTF-8 are hashed as they are
        dictionary = dictionary.cast(pa.large_string()).cast(pa.large_binary())
    return list(dictionary.to_pylist())


def _reader(kind: pa.DataType) -> Callable[[Any], bytes]:
    if isinstance(kind, pa.UuidType):
        return lambda value: str(uuid.UUID(bytes=value)).encode()
    if at.is_boolean(_plain(kind)):
        return lambda value: str(value).lower().encode()
    return lambda value: value if isinstance(value, bytes) else str(value).encode()
