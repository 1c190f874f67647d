"""Field bytes of binary COPY made here, value by value, for types that pgpq has no form of: jsonb and some arrays."""

import json
import math
import struct
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.types as at

JSONB_VERSION = b"\x01"
UUID, TIMESTAMPTZ = 2950, 1184  # pg_type.oid; an array states that of its elements
EPOCH = 946_684_800_000_000  # 2000-01-01, where PostgreSQL's time begins, in microseconds of Unix time


def jsonb(array: Any) -> Any:  # noqa: ANN401 - arrays of any type
    """The binary form of jsonb: a version byte, then the JSON text. Text is taken for JSON that is written already."""
    encode = str.encode if at.is_string(array.type) or at.is_large_string(array.type) else _json
    values = array.to_pylist(maps_as_pydicts="strict")
    return pa.array([None if v is None else JSONB_VERSION + encode(v) for v in values], pa.binary())


def _json(value: Any) -> bytes:  # noqa: ANN401 - whatever a column holds
    return json.dumps(_jsonable(value), ensure_ascii=False, separators=(",", ":")).encode()


def _jsonable(value: Any) -> Any:  # noqa: ANN401 - whatever a column holds
    """Only what JSON has: not-a-number becomes null, bytes hexadecimal, all else its text."""
    match value:
        case dict():
            return {str(_jsonable(k)): _jsonable(v) for k, v in value.items()}
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


def arrays(element: int, values: Sequence[Sequence[bytes | None] | None]) -> Any:  # noqa: ANN401 - an Arrow array
    """The binary form of one-dimensional arrays: dimensions, nulls, element type, size, first index, then elements."""
    fields = [None if v is None else _array(element, v) for v in values]
    return pa.array(fields, pa.binary())


def _array(element: int, items: Sequence[bytes | None]) -> bytes:
    head = struct.pack(">iiIii", 1, int(None in items), element, len(items), 1)
    return head + b"".join(b"\xff\xff\xff\xff" if i is None else struct.pack(">i", len(i)) + i for i in items)


def timestamp(micro: int | None) -> bytes | None:
    """The binary form of a timestamp given in microseconds of Unix time."""
    return None if micro is None else struct.pack(">q", micro - EPOCH)
