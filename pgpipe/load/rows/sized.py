"""Rows by their size: read a few at a time where it cannot be known before, cut where it has become too large."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as at

from pgpipe.load import types
from pgpipe.load.rows.extent import Leaf, leaves
from pgpipe.load.rows.kernels import Array, pc, types_removed

STEP = 4  # rows at a time of columns whose rows may be of any size
WIRE = 8 << 20  # bytes of a batch on its way, as estimated
SCALAR = 32  # bytes of a number or a date within JSON, as a rule less
PUNCTUATION = 4  # of an entry
concat_batches: Any = vars(pa)["concat_batches"]  # pyarrow's stubs lack it


def read_columns(
    parquet: pq.ParquetFile, group: int, columns: list[int], at_once: int, owned: list[list[Leaf]]
) -> Iterator[pa.RecordBatch]:
    """The rows of some columns of a row group; pyarrow takes columns by number from its inner reader alone.

    Args:
        parquet: the file.
        group: the number of the row group.
        columns: the numbers of the columns.
        at_once: rows of a batch.
        owned: the leaves of each column of the file.
    """
    indices = [leaf for column in columns for leaf, _ in owned[column]]
    return iter(parquet.reader.iter_batches(at_once, [group], column_indices=indices, use_threads=False))


class _Columns:
    """Some columns of a row group, read as many rows at a time as asked for."""

    def __init__(self, parquet: pq.ParquetFile, group: int, columns: list[int], owned: list[list[Leaf]]) -> None:
        self._reader = parquet.reader
        self._batches = read_columns(parquet, group, columns, 1, owned)

    def take(self, rows: int) -> list[pa.RecordBatch]:
        """So many rows, fewer at the end, as one or more batches."""
        taken: list[pa.RecordBatch] = []
        while rows > 0:
            self._reader.set_batch_size(rows)  # asked for again before every batch
            batch = next(self._batches, None)
            if batch is None:
                break
            taken.append(batch)
            rows -= batch.num_rows
        return taken


def read_by_size(
    parquet: pq.ParquetFile, group: int, wanted: list[int], few: list[int], at_once: int, most: int
) -> Iterator[pa.RecordBatch]:
    """Wanted columns of a row group, cut by what those of `few` have come to; of these STEP rows are read at a time."""
    schema = parquet.schema_arrow
    owned = leaves(schema)
    names = [schema.names[number] for number in wanted]
    rest = [number for number in wanted if number not in few]
    slow, fast = _Columns(parquet, group, few, owned), _Columns(parquet, group, rest, owned) if rest else None
    order = [*few, *rest]
    step = min(STEP, at_once)
    while True:
        taken: list[pa.RecordBatch] = []
        rows = size = 0
        while rows < at_once and size < most and (some := slow.take(step)):
            taken += some
            rows += sum(batch.num_rows for batch in some)
            size += sum(batch.nbytes for batch in some)
        if not taken:
            return
        columns = [*concat_batches(taken).columns]
        del taken
        if fast:
            columns += concat_batches(fast.take(rows)).columns
        yield pa.RecordBatch.from_arrays([columns[order.index(n)] for n in wanted], names)


def split(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows in pieces that are not too large on their way; a row is never cut."""
    if rows.num_rows <= 1 or cost(rows) <= WIRE:
        yield rows
        return
    half = rows.num_rows // 2
    yield from split(rows.slice(0, half))
    yield from split(rows.slice(half))


def cost(rows: pa.RecordBatch) -> int:
    """About how many bytes the rows take written out: without dictionaries, nested values as JSON."""
    return sum(_cost(column) for column in rows.columns)


def _cost(array: Array) -> int:
    array = _stored(array)
    kind = array.type
    if at.is_dictionary(kind):
        return _repeated(array)
    if at.is_nested(kind) and not (types.is_list(kind) and at.is_primitive(kind.field(0).type)):
        return _json_cost(array)
    return int(array.nbytes) * (2 if at.is_nested(kind) else 1)  # an element of an array has a length before it


def _stored(array: Array) -> Array:
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def _repeated(array: Array) -> int:
    values = _stored(array.dictionary)
    if not (types.is_text(values.type) or at.is_binary(values.type) or at.is_large_binary(values.type)):
        return SCALAR * len(array)
    lengths = pc.binary_length(types_removed(values)).take(array.indices)
    return (pc.sum(lengths).as_py() or 0) + PUNCTUATION * len(array)


def _json_cost(array: Array) -> int:
    array = _stored(array)
    kind = array.type
    if at.is_dictionary(kind):
        return _repeated(array)
    if at.is_struct(kind):
        names = sum(len(field.name) + PUNCTUATION for field in kind)
        return names * len(array) + sum(_json_cost(array.field(number)) for number in range(kind.num_fields))
    if at.is_map(kind):
        entries = array.cast(pa.list_(pa.struct([kind.key_field.with_nullable(True), kind.item_field])))
        return _json_cost(entries)
    if at.is_nested(kind):
        return PUNCTUATION * len(array) + _json_cost(array.flatten())
    return 2 * int(array.nbytes) + (PUNCTUATION if types.is_text(kind) else SCALAR) * len(array)
