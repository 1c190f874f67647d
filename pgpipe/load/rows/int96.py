"""Timestamps of 96 bits, a day and the nanoseconds in it, as Spark, Impala and awswrangler write them."""

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as at

from pgpipe.load.rows.extent import Leaf
from pgpipe.load.rows.kernels import Array, at_leaves, pc

YEARS = -210_866_803_200_000_000, 253_402_300_799_999_999  # 4714-11-24 BC to the end of 9999, in microseconds
NO_MOMENT = -(2**63)  # which no column takes: a bad value


def int96_columns(parquet: pq.ParquetFile, owned: list[list[Leaf]]) -> list[int]:
    """The columns with a timestamp in 96 bits, at any depth; `owned` are the leaves of each."""
    schema = parquet.schema

    def is_int96(leaf: Leaf) -> bool:
        number, kind = leaf
        return at.is_timestamp(kind) and schema.column(number).physical_type == "INT96"

    return [n for n, found in enumerate(owned) if any(map(is_int96, found))]


def within_calendar(rows: pa.RecordBatch, columns: list[int]) -> pa.RecordBatch:
    """Timestamps of 96 bits may lie beyond what 64 hold, and come out as any other: out of range is what looks so."""
    for number in columns:
        rows = rows.set_column(number, rows.schema.names[number], at_leaves(rows.column(number), _mark_out_of_range))
    return rows


def _mark_out_of_range(array: Array) -> Array:
    if not at.is_timestamp(array.type):
        return array
    low, high = (pa.scalar(end).cast(array.type) for end in YEARS)
    outside = pc.or_(pc.less(array, low), pc.greater(array, high))
    if not pc.any(outside).as_py():
        return array
    return pc.if_else(outside, pa.scalar(NO_MOMENT).cast(array.type), array)
