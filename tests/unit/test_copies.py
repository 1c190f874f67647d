"""Conversions that copy nothing."""

from decimal import Decimal

import pyarrow as pa
import pytest

from pgpipe.load.rows.convert import convert


@pytest.mark.parametrize(
    ("array", "sql"),
    [
        (pa.array([Decimal("1.25"), None, Decimal("-9.99")], pa.decimal128(15, 2)), "numeric(15,2)"),
        (pa.array([1, None, 3], pa.int64()), "bigint"),
        (pa.array(["a", None, "c"], pa.string()), "text"),
    ],
)
def test_equal_bytes_are_not_copied(array: pa.Array, sql: str) -> None:
    """Where a value travels as the bytes that it has, the same buffers travel, also of a part of an array."""
    for part in (array, array.slice(1)):
        wire = convert(part, sql)
        same = [
            mine and mine.address == theirs.address
            for mine, theirs in zip(wire.buffers(), array.buffers(), strict=True)
        ]
        assert (wire.to_pylist(), all(same)) == (part.to_pylist(), True)
