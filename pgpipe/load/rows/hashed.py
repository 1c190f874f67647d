"""Keyed hashes in the place of values: equal values give equal texts, and nobody can try values without the key."""

import hmac
import uuid

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
    coded = pc.dictionary_encode(types_removed(array))  # equal values are hashed once
    found = [hmac.digest(secret, value, "sha256").hex() for value in _as_bytes(array.type, coded.dictionary)]
    return pa.array(found, pa.string()).take(coded.indices)


def _plain(kind: pa.DataType) -> pa.DataType:
    kind = types.storage(kind) if not isinstance(kind, pa.UuidType) else pa.binary()
    if at.is_dictionary(kind) or at.is_run_end_encoded(kind):
        return _plain(kind.value_type)
    return kind


def _as_bytes(kind: pa.DataType, values: Array) -> list[bytes]:
    """The text of each value by Arrow: Python lacks dates of far years, which files may have."""
    if isinstance(kind, pa.UuidType):
        return [str(uuid.UUID(bytes=value)).encode() for value in values.to_pylist()]
    if at.is_date64(values.type):
        values = values.cast(pa.date32())
    if not (at.is_binary(values.type) or at.is_large_binary(values.type) or at.is_binary_view(values.type)):
        values = values.cast(pa.large_string())
    return list(values.cast(pa.large_binary()).to_pylist())
